//! Files of one folder, read on the blocking pool.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use evenkeel::task::JoinHandle;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;

use crate::http::Refusal;

/// What is held of a file in memory, for each request.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Answers with the file `name` of `dir`, which is a canonical path. `name` is as in the URL.
pub(super) async fn get(dir: Arc<PathBuf>, name: &str) -> Result<Response<FileBody>, Refusal> {
    let not_found = || Refusal::new(StatusCode::NOT_FOUND, "no such file");
    let name = file_name(name).ok_or_else(not_found)?;
    let content_type = content_type(&name);
    let opened = evenkeel::spawn_blocking(move || open(&dir, &name)).await;
    let (file, len) = opened
        .map_err(io::Error::other)
        .and_then(|opened| opened)
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidFilename => not_found(),
            _ => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read"),
        })?;
    let mut response = Response::new(FileBody {
        file: Arc::new(file),
        left: len,
        reading: None,
    });
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}

/// The name of a visible file, and nothing else that a path can be.
fn file_name(encoded: &str) -> Option<String> {
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    is_name.then(|| name.into_owned())
}

/// Opens a file that really lies below `dir`, wherever symbolic links may lead.
///
/// Who may write to the folder can exchange the file between the check and the opening; the
/// folder's owner has to trust them anyway.
fn open(dir: &Path, name: &str) -> io::Result<(File, u64)> {
    let path = dir.join(name).canonicalize()?;
    // Opening a named pipe would wait for its other end.
    if !path.starts_with(dir) || !path.metadata()?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "jpeg" | "jpg" => "image/jpeg",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The body of a response that is read from a file, a chunk at a time and only as fast as the
/// client takes it.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<File>,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let (file, len) = (self.file.clone(), self.left.min(CHUNK_BYTES));
        let reading = self
            .reading
            .get_or_insert_with(|| evenkeel::spawn_blocking(move || read_chunk(&file, len)));
        let chunk = ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other)??;
        self.reading = None;
        self.left -= len;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Reads exactly `len` bytes: the length has been promised to the client.
fn read_chunk(mut file: &File, len: u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact(&mut chunk)?;
    Ok(chunk.into())
}
