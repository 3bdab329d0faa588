//! A stack that is large enough for the deepest expression, whoever calls.

/// How large. The deepest expressions that are allowed take some 10 MB of it without optimisation; memory is taken only
/// as it is touched.
pub(crate) const BYTES: usize = 128 << 20;

/// Does something with that much stack; none when there is no room for it, or it broke off.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("rules".to_owned()).stack_size(BYTES);
        worker.spawn_scoped(scope, work).ok()?.join().ok()
    })
}
