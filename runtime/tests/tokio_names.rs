//! A program in tokio's names, which only this line moves.

#![cfg(all(unix, feature = "full"))]

use evenkeel as tokio;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

tokio::task_local! {
    /// Of the request that a task answers.
    static REQUEST: u32;
    /// Who asks.
    pub static USER: String;
}

#[tokio::test]
async fn select_takes_the_branch_that_is_ready() {
    let (sender, mut receiver) = mpsc::channel::<u32>(1);
    sender.send(7).await.unwrap();
    let pending = std::future::pending::<()>();
    tokio::pin!(pending);
    let got = tokio::select! {
        biased;
        () = &mut pending => None,
        number = receiver.recv() => number,
        () = tokio::time::sleep(Duration::from_secs(60)) => None,
    };
    assert_eq!(got, Some(7));
}

#[tokio::test]
async fn select_has_an_else_branch_and_a_condition() {
    let (sender, mut receiver) = mpsc::channel::<u32>(1);
    drop(sender);
    let got = tokio::select! {
        Some(number) = receiver.recv() => number,
        () = async {}, if false => 1,
        else => 2,
    };
    assert_eq!(got, 2);
}

#[tokio::test]
async fn join_and_try_join_wait_for_all() {
    let numbers = tokio::join!(async { 1 }, async { "two" });
    assert_eq!(numbers, (1, "two"));
    let both = tokio::try_join!(async { Ok::<_, String>(1) }, async { Ok(2) });
    assert_eq!(both, Ok((1, 2)));
    let failed = tokio::try_join!(async { Ok::<i32, _>(1) }, async { Err::<(), _>("no") });
    assert_eq!(failed, Err("no"));
}

#[tokio::test]
async fn a_task_local_is_of_its_scope_across_awaits() {
    let scope: tokio::task::futures::TaskLocalFuture<u32, _> = REQUEST.scope(7, async {
        tokio::task::yield_now().await;
        REQUEST.get()
    });
    assert_eq!(tokio::spawn(scope).await.unwrap(), 7);
    assert!(REQUEST.try_with(|_| ()).is_err());
    let user = USER.sync_scope("alice".to_owned(), || USER.with(String::len));
    assert_eq!(user, 5);
}

#[tokio::test]
async fn channels_and_locks_are_there_by_name() {
    let (sender, receiver) = oneshot::channel();
    let (news, mut seen) = watch::channel(0);
    let (all, mut one) = broadcast::channel(4);
    let lock = Arc::new(Mutex::new(0));
    let (notify, permits, map) = (Notify::new(), Semaphore::new(1), RwLock::new(1));
    let in_task = lock.clone();
    tokio::spawn(async move {
        *in_task.lock().await += 1;
        news.send_replace(1);
        all.send("x").unwrap();
        sender.send(()).unwrap();
    })
    .await
    .unwrap();
    receiver.await.unwrap();
    assert!(seen.changed().await.is_ok());
    assert_eq!(one.recv().await.unwrap(), "x");
    notify.notify_one();
    let notified: tokio::sync::futures::Notified<'_> = notify.notified();
    notified.await;
    let _permit: tokio::sync::SemaphorePermit<'_> = permits.acquire().await.unwrap();
    assert_eq!(*lock.lock().await + *map.read().await, 2);
    let full: Result<(), mpsc::error::TrySendError<u32>> = {
        let (sender, _receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        sender.try_send(2)
    };
    assert!(matches!(full, Err(mpsc::error::TrySendError::Full(2))));
}

#[tokio::test]
async fn io_helpers_work_on_sockets_and_on_pipes_in_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let (reading, writing) = tokio::io::split(stream);
        let mut lines = BufReader::new(reading).lines();
        let mut out = BufWriter::new(writing);
        while let Some(line) = lines.next_line().await? {
            out.write_all(format!("{line}!\n").as_bytes()).await?;
        }
        out.flush().await?;
        out.shutdown().await
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"a\nb\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "a!\nb!\n");
    server.await.unwrap().unwrap();

    let (mut near, mut far) = tokio::io::duplex(64);
    near.write_u32(5).await.unwrap();
    assert_eq!(far.read_u32().await.unwrap(), 5);
    let (mut a, mut b) = UnixStream::pair().unwrap();
    b.write_all(b"xyz").await.unwrap();
    drop(b);
    let mut copied = Vec::new();
    assert_eq!(tokio::io::copy(&mut a, &mut copied).await.unwrap(), 3);
    let mut cursor = std::io::Cursor::new(copied);
    cursor.seek(tokio::io::SeekFrom::Start(1)).await.unwrap();
    assert_eq!(cursor.read_u8().await.unwrap(), b'y');
    let mut joined = tokio::io::join(tokio::io::empty(), tokio::io::sink());
    assert_eq!(joined.read(&mut [0]).await.unwrap(), 0);
    let result: tokio::io::Result<()> = Err(tokio::io::ErrorKind::NotFound.into());
    assert!(result.is_err());
}

#[tokio::test]
async fn a_set_of_tasks_and_a_timeout() {
    let mut set = JoinSet::new();
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..4 {
        let done = done.clone();
        set.spawn(async move { done.fetch_add(1, Ordering::Relaxed) });
    }
    while set.join_next().await.is_some() {}
    assert_eq!(done.load(Ordering::Relaxed), 4);
    let elapsed: Result<(), tokio::time::error::Elapsed> =
        tokio::time::timeout(Duration::from_millis(1), std::future::pending()).await;
    assert!(elapsed.is_err());
}

#[test]
fn a_runtime_is_built_and_asked_by_tokios_names() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_keep_alive(Duration::from_secs(1))
        .thread_name("service")
        .name("service")
        .thread_stack_size(2 * 1024 * 1024)
        .on_thread_start(|| {})
        .on_thread_stop(|| {})
        .on_thread_park(|| {})
        .on_thread_unpark(|| {})
        .event_interval(31)
        .global_queue_interval(31)
        .max_io_events_per_tick(64)
        .enable_io()
        .enable_time()
        .enable_all()
        .build()
        .unwrap();
    let handle: tokio::runtime::Handle = runtime.handle().clone();
    let flavor = handle.runtime_flavor();
    assert_eq!(flavor, tokio::runtime::RuntimeFlavor::MultiThread);
    assert_eq!(
        (handle.name(), handle.metrics().num_workers()),
        (Some("service"), 2)
    );
    let missing = tokio::runtime::Handle::try_current().unwrap_err();
    assert!(missing.is_missing_context());
    let _entered = runtime.enter();
    assert_eq!(tokio::runtime::Handle::current().id(), handle.id());
    let task = tokio::spawn(async { tokio::task::id() });
    let id: tokio::task::Id = task.id();
    assert_eq!(runtime.block_on(task).unwrap(), id);
    runtime.shutdown_timeout(Duration::from_secs(10));
}

#[tokio::test]
async fn files_are_there_by_name() {
    let dir = std::env::temp_dir().join(format!("evenkeel-names-{}", std::process::id()));
    tokio::fs::create_dir_all(&dir).await.unwrap();
    let path = dir.join("file");
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).truncate(true).read(true).write(true);
    let mut file: tokio::fs::File = options.open(&path).await.unwrap();
    file.write_all(b"one\ntwo\n").await.unwrap();
    file.seek(std::io::SeekFrom::Start(0)).await.unwrap();
    let mut lines = BufReader::new(file).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "one");
    assert_eq!(
        tokio::fs::read_to_string(&path).await.unwrap(),
        "one\ntwo\n"
    );
    let mut entries = tokio::fs::read_dir(&dir).await.unwrap();
    let entry: tokio::fs::DirEntry = entries.next_entry().await.unwrap().unwrap();
    assert_eq!(entry.path(), path);
    tokio::fs::remove_dir_all(&dir).await.unwrap();
}

#[tokio::test]
async fn signals_are_there_by_name() {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    let mut hangup: Signal = signal(SignalKind::window_change()).unwrap();
    // SAFETY: the signal is listened for.
    assert_eq!(unsafe { libc::raise(libc::SIGWINCH) }, 0);
    tokio::select! {
        heard = hangup.recv() => assert_eq!(heard, Some(())),
        result = tokio::signal::ctrl_c() => panic!("{result:?}"),
    }
}

#[tokio::test]
async fn descriptors_and_errors_are_there_by_name() {
    let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
    let fd = tokio::io::unix::AsyncFd::new(one).unwrap();
    let ready: tokio::io::Ready = fd
        .ready(tokio::io::Interest::WRITABLE)
        .await
        .unwrap()
        .ready();
    assert!(ready.is_writable());
    let _: fn(&std::io::Error) -> bool = tokio::runtime::is_rt_shutdown_err;
    let named: Option<tokio::time::error::Error> = None;
    assert!(named.is_none());
    let (_out, _err) = (tokio::io::stdout(), tokio::io::stderr());
    let _in: tokio::io::Stdin = tokio::io::stdin();
}
