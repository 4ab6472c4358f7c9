//! Opens the link in the browser of this machine, without showing the link to other users of the machine: the arguments of a process are
//! public, so the browser is given a private file that leads on.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file in the state directory.
const FILE: &str = "open.html";

/// Opens the link. Where that cannot be, it was printed.
pub(super) fn open(state_root: &Path, link: &str) {
    let Some(opener) = opener() else { return };
    if let Some(file) = leading_on(state_root, link) {
        let _ = Command::new(opener).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}

/// The program that opens files as the desktop does; nothing where there is no desktop.
fn opener() -> Option<&'static str> {
    if cfg!(target_os = "macos") {
        return Some("open");
    }
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    has_desktop.then_some("xdg-open")
}

fn leading_on(state_root: &Path, link: &str) -> Option<PathBuf> {
    crate::engine::state::make_root(state_root).ok()?;
    let path = state_root.join(FILE);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).ok()?;
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url={link}\"><a href=\"{link}\">Go on</a>\n"
    );
    file.write_all(page.as_bytes()).ok()?;
    Some(path)
}
