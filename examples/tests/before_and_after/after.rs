use argon2::{Argon2, PasswordHasher};
use evenkeel::io::{self, AsyncBufReadExt, AsyncWriteExt, BufReader};
use evenkeel::net::{TcpListener, TcpStream};

#[evenkeel::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7001").await?;
    loop {
        evenkeel::spawn(hash_lines(listener.accept().await?.0));
    }
}

pub(crate) async fn hash_lines(stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(password) = lines.next_line().await? {
        let hash = evenkeel::spawn_compute(move || hash(&password)).await??;
        lines.get_mut().write_all(hash.as_bytes()).await?;
    }
    Ok(())
}

fn hash(password: &str) -> io::Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(format!("{}\n", hash.map_err(io::Error::other)?))
}
