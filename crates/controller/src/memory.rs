//! How the allocator is used, so that a controller stays small after large requests.
#![cfg_attr(target_env = "gnu", allow(unsafe_code, reason = "two calls of the C library that Rust has no name for"))]

/// Has all threads allocate from one heap, `mallopt(3)`. By default each thread has an arena of its own, and what a large
/// request leaves in one of them the others cannot use: that was a quarter of a controller with 10,000 VMs. To be called
/// before a thread is started; does nothing where the C library has no such call.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes the allocator's own lock and changes only how it makes arenas from then on.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns free pages of the heap to the kernel, `malloc_trim(3)`. An `apply` of a whole fleet leaves dozens of MiB of
/// them, scattered, so that the allocator by itself keeps them. Does nothing where the C library has no such call.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes the allocator's own locks and touches only memory that nobody has.
    unsafe {
        libc::malloc_trim(0);
    }
}
