//! Gives memory back that a large request has left with the allocator.

/// Returns free pages of the heap to the kernel, `malloc_trim(3)`. An `apply` of a whole fleet leaves dozens of MiB of
/// them, scattered, so that the allocator by itself keeps them. Does nothing where the C library has no such call.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        #[allow(unsafe_code, reason = "a call without arguments that matter, safe from any thread")]
        // SAFETY: `malloc_trim` takes the allocator's own locks and touches only memory that nobody has.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
