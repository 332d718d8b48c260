use std::io;
use std::os::fd::AsFd;

/// The user, the group and, where the system tells, the process at the other end of a
/// [`UnixStream`](super::UnixStream).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    pid: Option<i32>,
    uid: u32,
    gid: u32,
}

impl UCred {
    /// The user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The group.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The process; known on Linux and Android.
    ///
    /// It may have ended since then, and its number may have been given to another process.
    pub fn pid(&self) -> Option<i32> {
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
