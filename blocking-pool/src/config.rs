//! What the user has chosen for a pool.

use std::sync::Arc;
use std::time::Duration;

type Hook = Arc<dyn Fn() + Send + Sync>;
type Setup = Arc<dyn Fn() -> Box<dyn FnOnce() + Send> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) max_threads: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) thread_name: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) thread_setup: Option<Setup>,
    pub(crate) on_thread_start: Option<Hook>,
    pub(crate) on_thread_stop: Option<Hook>,
    pub(crate) thread_maker: Option<Hook>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_threads: 512,
            keep_alive: Duration::from_secs(10),
            thread_name: Arc::new(|| "blocking".to_owned()),
            stack_size: None,
            thread_setup: None,
            on_thread_start: None,
            on_thread_stop: None,
            thread_maker: None,
        }
    }
}
