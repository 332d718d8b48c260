//! works: async-compression
//! by: native
//! tested: gzip both ways over our streams and files, several members, what is cut off, what is no
//! gzip, the program `gzip`
//! threads: it compresses where it is polled; much of that belongs into `compute::spawn`

mod native_support;
mod support;

use std::io;
use std::process::Stdio;

use async_compression::tokio::bufread::GzipDecoder;
use async_compression::tokio::write::GzipEncoder;
use evenkeel::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::process::Command;
use support::run;

/// Half of it can be compressed.
fn data() -> Vec<u8> {
    let mut state = 1_u32;
    (0..500_000)
        .map(|index| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if index % 2 == 0 {
                b'x'
            } else {
                (state >> 24) as u8
            }
        })
        .collect()
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (client, server) = evenkeel::join!(connecting, listener.accept());
    (client.unwrap(), server.unwrap().0)
}

async fn compress(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(data).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn decompress(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut decoder = GzipDecoder::new(data);
    decoder.multiple_members(true);
    let mut out = Vec::new();
    decoder.read_to_end(&mut out).await.map(|_| out)
}

#[test]
fn a_compressed_stream_arrives_as_it_was() {
    run(|| async {
        let (client, server) = pair().await;
        let sending = evenkeel::spawn(async move {
            let mut encoder = GzipEncoder::new(client);
            for part in data().chunks(10_000) {
                encoder.write_all(part).await.unwrap();
                encoder.flush().await.unwrap();
            }
            encoder.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        let mut decoder = GzipDecoder::new(BufReader::new(server));
        decoder.read_to_end(&mut received).await.unwrap();
        assert!(received == data());
        sending.await.unwrap();
    });
}

#[test]
fn a_file_on_the_compute_lane_is_compressed_and_read_back() {
    run(|| async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.gz");
        let of_task = path.clone();
        evenkeel::compute::spawn(async move {
            let file = evenkeel::fs::File::create(of_task).await.unwrap();
            let mut encoder = GzipEncoder::new(file);
            encoder.write_all(&data()).await.unwrap();
            encoder.shutdown().await.unwrap();
        })
        .await
        .unwrap();
        let file = evenkeel::fs::File::open(&path).await.unwrap();
        assert!(file.metadata().await.unwrap().len() < 450_000);
        let mut read = Vec::new();
        let mut decoder = GzipDecoder::new(BufReader::new(file));
        decoder.read_to_end(&mut read).await.unwrap();
        assert!(read == data());
    });
}

#[test]
fn several_members_are_one_text_and_what_is_broken_is_an_error() {
    run(|| async {
        let both = [compress(b"one, ").await, compress(b"two").await].concat();
        assert_eq!(decompress(&both).await.unwrap(), b"one, two");
        let whole = compress(&data()).await;
        let cut = decompress(&whole[..whole.len() / 2]).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        assert!(decompress(b"this is no gzip").await.is_err());
    });
}

#[test]
fn the_program_gzip_reads_it() {
    run(|| async {
        let child = Command::new("gzip")
            .arg("-dc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            println!("skipped: no gzip here");
            return;
        };
        let mut input = child.stdin.take().unwrap();
        let writing = evenkeel::spawn(async move {
            let mut encoder = GzipEncoder::new(&mut input);
            encoder.write_all(&data()).await.unwrap();
            encoder.shutdown().await.unwrap();
        });
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success() && output.stdout == data());
        writing.await.unwrap();
    });
}
