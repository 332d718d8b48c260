use crate::tasks::{Id, current_id};

/// The number of the task that this is called in.
///
/// # Panics
///
/// Outside a task, which [`block_on`](crate::runtime::Runtime::block_on) is.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let task = evenkeel::spawn(async { evenkeel::task::id() });
/// let id = task.id();
/// assert_eq!(task.await.unwrap(), id);
/// assert_eq!(evenkeel::task::try_id(), None);
/// # });
/// ```
#[track_caller]
pub fn id() -> Id {
    match try_id() {
        Some(id) => id,
        None => panic!("`task::id` was called outside a task"),
    }
}

/// The number of the task that this is called in; `None` outside a task.
pub fn try_id() -> Option<Id> {
    current_id()
}
