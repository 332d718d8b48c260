#[evenkeel_macros::main]
fn not_async() {}

#[evenkeel_macros::main]
struct NotAFunction;

#[evenkeel_macros::test]
fn test_that_is_not_async() {}

#[evenkeel_macros::test]
async fn test_with_parameters(n: u32) {}

#[evenkeel_macros::test]
#[test]
async fn second_test() {}

#[evenkeel_macros::test]
#[should_panic]
#[evenkeel_macros::test]
async fn the_same_twice() {}

#[evenkeel_macros::main]
async fn generic<T>() {}

#[evenkeel_macros::main]
async fn bounded()
where
    u32: Copy,
{
}

#[evenkeel_macros::main]
async fn main(arguments: Vec<String>) {}
