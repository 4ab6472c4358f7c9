//! The page in the browser: the same engine, the same view, and the same words as on the terminal.
//!
//! The map. [`server`] listens and routes; [`guard`] lets in only who was invited and refuses what other sites send; [`app`] holds what the process
//! knows (connection strings and the API key live in its memory and nowhere else); [`page`] draws the frame and [`sse`] keeps it current; [`live`]
//! is the migration that is shown; [`connection`] is the field for a connection string. Each of the five steps is a module with its own state, routes and parts.
//!
//! Why what is on the screen is the truth: a page is a list of *parts*, and there is one function per step that renders them from what the
//! process knows now. A page load shows them, and an event stream sends those that have changed since. A page that was closed, lost its
//! connection or is opened a second time gets the same parts, so there is nothing that it could have missed.

pub mod app;
mod assets;
pub mod check;
pub mod commands;
pub mod connection;
pub mod copy;
pub mod create;
pub mod finish;
pub mod guard;
pub mod live;
pub mod page;
pub mod replay;
pub mod replicate;
mod server;
mod sse;
mod tls;
mod words;

pub use self::app::{Log, Options};
pub use self::server::{Serving, serve};
