//! A terminal for our own binary: what is asked is seen, and answers are typed.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::poll;

/// A terminal with a process on it.
pub struct Terminal {
    master: File,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts a command whose input and errors are on a terminal; its output is a pipe.
    pub fn start(command: &mut Command) -> (Terminal, std::process::Child) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let slave = || File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
        let child = command.stdin(slave()).stderr(slave()).stdout(Stdio::piped()).spawn().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut reader, told) = (File::from(master.try_clone().unwrap()), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                told.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        (Terminal { master: File::from(master), shown }, child)
    }

    /// What it shows so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for a question, and types an answer.
    pub async fn answer(&mut self, question: &str, answer: &str) {
        let what = format!("the terminal shows {question:?}");
        poll::until_true(Duration::from_secs(20), &what, async || self.shown().contains(question)).await;
        self.master.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }

    /// Whether it shows what is typed.
    pub fn echoes(&self) -> bool {
        rustix::termios::tcgetattr(&self.master).unwrap().local_modes.contains(rustix::termios::LocalModes::ECHO)
    }
}
