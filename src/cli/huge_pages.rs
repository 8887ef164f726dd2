//! Huge pages of memory, which Linux makes of small ones as it sees fit, also of those that the allocator has given back in parts:
//! what is resident then goes up and down for no reason that anybody sees.

/// Lets memory be made of huge pages, or not; what is in use stays as it is. Elsewhere than on Linux there is nothing to say.
pub(super) fn set(are_allowed: bool) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(!are_allowed)?;
    Ok(())
}
