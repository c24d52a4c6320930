use super::*;

#[test]
fn the_filters_compile_and_fit_the_kernel() {
    for filter in [
        proxy_filter(false),
        proxy_filter(true),
        control_filter(),
        refuse_clone3(),
    ] {
        let length = filter.expect("filter").len();
        assert!(length < 4096, "{length} instructions");
    }
}

#[test]
fn no_call_that_leads_out_is_on_the_proxys_list() {
    let out = [
        libc::SYS_execve,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        libc::SYS_kill,
        libc::SYS_listen,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_seccomp,
        libc::SYS_sendmmsg,
        libc::SYS_socket,
        libc::SYS_memfd_create,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
    ];
    for call in out.iter().chain(CONTROL_REFUSED) {
        assert!(
            !ALWAYS.contains(call) && !PROGRAM_START.contains(call),
            "call {call}"
        );
    }
}
