use std::io;
use std::os::fd::AsFd;

use super::{gid_t, pid_t, uid_t};

/// The user, the group and, where the system tells, the process at the other end of a
/// [`UnixStream`](super::UnixStream).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    pid: Option<pid_t>,
    uid: uid_t,
    gid: gid_t,
}

impl UCred {
    /// The user.
    pub fn uid(&self) -> uid_t {
        self.uid
    }

    /// The group.
    pub fn gid(&self) -> gid_t {
        self.gid
    }

    /// The process; known on Linux and Android.
    ///
    /// It may have ended since then, and its number may have been given to another process.
    pub fn pid(&self) -> Option<pid_t> {
        self.pid
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn of_peer(socket: &impl AsFd) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        let mut cred = libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the descriptor is open as long as `socket` is borrowed, and the two pointers are
        // to a `ucred` and to its length, which both outlive the call.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut cred).cast(),
                &mut len,
            )
        };
        match outcome {
            0 => Ok(Self {
                pid: Some(cred.pid),
                uid: cred.uid,
                gid: cred.gid,
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn of_peer(socket: &impl AsFd) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        let mut cred = Self {
            pid: None,
            uid: 0,
            gid: 0,
        };
        // SAFETY: the descriptor is open as long as `socket` is borrowed, and the two pointers are
        // to integers that outlive the call.
        let outcome =
            unsafe { libc::getpeereid(socket.as_fd().as_raw_fd(), &mut cred.uid, &mut cred.gid) };
        match outcome {
            0 => Ok(cred),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
