"""What holds for all tests, those of the benchmarks as well."""

import signal

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts its background jobs so, and what is started from here would inherit it: no Ctrl-C could be tried.
    signal.signal(signal.SIGINT, signal.default_int_handler)
