#[evenkeel_macros::main(threads = 2)]
async fn unknown() {}

#[evenkeel_macros::main(worker_threads)]
async fn no_value() {}

#[evenkeel_macros::main(worker_threads = 2, worker_threads = 2)]
async fn twice() {}

#[evenkeel_macros::main(worker_threads = 2 pinning = "none")]
async fn no_comma() {}

#[evenkeel_macros::main("auto")]
async fn no_name() {}

#[evenkeel_macros::test(worker_threads = 0)]
async fn no_threads() {}

#[evenkeel_macros::main(worker_threads = "2")]
async fn threads_of_the_wrong_type() {}

#[evenkeel_macros::main(worker_threads = -1)]
async fn negative_threads() {}

#[evenkeel_macros::main(worker_threads =)]
async fn threads_left_out() {}

#[evenkeel_macros::test(pinning = "numa")]
async fn unknown_pinning() {}

#[evenkeel_macros::main(pinning = PerCore)]
async fn pinning_of_the_wrong_type() {}

#[evenkeel_macros::main(pinning = [])]
async fn pinning_to_nothing() {}

#[evenkeel_macros::main(pinning = [0, "1"])]
async fn pinning_to_a_string() {}

#[evenkeel_macros::main(crate = "not a path")]
async fn crate_that_is_no_path() {}

#[evenkeel_macros::main(crate = 1)]
async fn crate_of_the_wrong_type() {}

#[evenkeel_macros::main(flavor = "green")]
async fn unknown_flavor() {}

#[evenkeel_macros::main(worker_threads = 2, flavor = "current_thread")]
async fn workers_of_the_current_thread() {}

#[evenkeel_macros::test(worker_threads = 2)]
async fn workers_of_a_test_without_a_flavor() {}

#[evenkeel_macros::test(start_paused = "yes")]
async fn paused_of_the_wrong_type() {}

// The functions are there even so: no second error says that they are not, or a value is missing.
mod inner {
    #[evenkeel_macros::main(worker_threads = 0)]
    pub(crate) async fn value(n: u32) -> u32 {
        n + not_looked_at
    }
}

fn main() {
    unknown();
    let _: u32 = inner::value(1);
}
