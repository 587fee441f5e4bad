"""Take from this process, for good, everything that converting a file does not need (Linux; no root needed).

Three layers: rlimits bound what a job may use; Landlock (landlock(7)) leaves it the interpreter, the fonts and its own
folder; a seccomp filter (seccomp(2)) leaves it no socket, no way out of its process group and no kernel interface known
for privilege escalation. Imports little, since every job pays for it.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446  # on every architecture
_PR_SET_PDEATHSIG, _PR_GET_SECCOMP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 21, 22, 38


def missing() -> list[str]:
    """What this kernel does not offer, by name: an operator should know which layers are absent."""
    absent = []
    if _landlock_abi() < 1:
        absent.append("Landlock")
    if platform.machine() not in _ARCHITECTURES or _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        absent.append("seccomp")
    return absent


def limit(seconds: int, memory_bytes: int, file_bytes: int) -> None:
    """Bound each process of this job; children inherit it.

    Not the number of processes: RLIMIT_NPROC counts all of the user's, the server's own among them.
    """
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds * (os.cpu_count() or 1)),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def confine(folder: Path, runs_programs: bool) -> None:
    """Apply each layer that `missing` does not name; raises `OSError` if the kernel refuses one it offers."""
    if sys.platform != "linux":
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # otherwise a job outlives a killed server
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    absent = missing()
    if "Landlock" not in absent:
        _landlock(folder, runs_programs)
    if "seccomp" not in absent:
        _seccomp(runs_programs)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _prctl(option: int, value: int, pointer: "ctypes.c_void_p | None" = None) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), pointer or ctypes.c_ulong(0), 0, 0))


# Landlock

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_DEVICES_AND_SOCKETS = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11
_READ = _READ_FILE | _READ_DIR


def _landlock_abi() -> int:
    if sys.platform != "linux":
        return 0
    return int(_libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _landlock(folder: Path, runs_programs: bool) -> None:
    abi = _landlock_abi()
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    tcp = 0b11 if abi >= 4 else 0  # bind and connect
    scopes = 0b11 if abi >= 6 else 0  # abstract sockets, and signals to processes that are not confined
    handled = struct.pack("=QQQ", files, tcp, scopes)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = _checked(_libc.syscall(_LANDLOCK_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0))
    read = _READ | (_EXECUTE if runs_programs else 0)
    allowed = {
        **dict.fromkeys((sys.prefix, sys.base_prefix), read),
        # not the whole of this folder: an operator's data may be in it
        **{str(Path(__file__).with_name(name)): _READ for name in ("engines", "fonts")},
        **dict.fromkeys(("/lib", "/lib64", "/usr/lib", "/usr/lib64"), read),
        **dict.fromkeys(("/usr/share/fonts", "/usr/local/share/fonts"), _READ),
        "/etc/ld.so.cache": _READ_FILE,
        "/dev/urandom": _READ_FILE,
        "/dev/null": _READ_FILE | _WRITE_FILE,
        str(folder): files & ~(_EXECUTE | _MAKE_DEVICES_AND_SOCKETS),
    }
    for path, access in allowed.items():
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        rule = struct.pack("=Qi", access, opened)
        _checked(_libc.syscall(_LANDLOCK_ADD_RULE, ruleset, 1, rule, 0))
        os.close(opened)
    _checked(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


# seccomp: the call's number on x86-64 and on arm64

_FORBIDDEN = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "io_uring_setup": (425, 425),  # opens sockets without the system calls above
    "setsid": (112, 157),  # out of the group that a timeout kills
    "setpgid": (109, 154),
    "kill": (62, 129),
    "tkill": (200, 130),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
}
_PROGRAMS = {"execve": (59, 221), "execveat": (322, 281)}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # classic BPF (linux/bpf_common.h)
_ALLOW, _FAIL_EPERM, _KILL_PROCESS = 0x7FFF0000, 0x00050000 | 1, 0x80000000


def _seccomp(runs_programs: bool) -> None:
    column, architecture = _ARCHITECTURES[platform.machine()]
    numbers = [call[column] for call in (_FORBIDDEN if runs_programs else _FORBIDDEN | _PROGRAMS).values()]
    checks = [(_EQUAL, number) for number in numbers]
    if column == 0:
        checks.insert(0, (_AT_LEAST, 0x40000000))  # the x32 ABI: the same calls under other numbers
    program = [
        (_LOAD, 0, 0, 4),  # seccomp_data.arch
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        *((test, len(checks) - at, 0, value) for at, (test, value) in enumerate(checks)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL_EPERM),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    _prctl(_PR_SET_SECCOMP, 2, ctypes.cast(described, ctypes.c_void_p))
