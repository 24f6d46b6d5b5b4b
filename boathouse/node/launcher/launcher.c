/* The launcher: process 1 of the customer's container.
 *
 * It meets the daemon on a Unix socket, starts what the daemon asks for, with the descriptors that the daemon sends,
 * reports exits, reaps orphans, and ends with that connection: a node without its daemon is lost, and nothing of it may
 * live on. It decides nothing, parses no JSON, and allocates no memory. The frames are described in protocol.py.
 *
 * As process 1 its paths are fixed. Started otherwise (tests), BOATHOUSE_LAUNCHER_SOCK names the socket, and the
 * documented names under /databricks are left alone. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { VERSION = 1, MAX_FRAME = 4 << 20, MAX_READ = 64 << 10, MAX_ARGUMENTS = 65535 };
enum { MIN_FDS = 3, MAX_FDS = 8, QUEUED_FDS = 64, FIRST_FREE_FD = 16, MAX_PROCESSES = 4096 };
enum { SPAWN = 0x01, SIGNAL = 0x02, READ = 0x03 };
enum { HELLO = 0x81, SPAWNED = 0x82, SIGNALLED = 0x83, DATA = 0x84, EXITED = 0x85 };
enum { CLEAN_ENVIRONMENT = 1, KILL_GROUP = 2 };
enum { AT_FORK = 1, AT_FDS = 2, AT_CWD = 3, AT_EXEC = 4, AT_REQUEST = 5 };
enum { WAIT_FOR_DAEMON_S = 120 };

static const char SOCKET_PATH[] = "/run/boathouse/launcher.sock";

static struct { pid_t pid; uint8_t flags; } processes[MAX_PROCESSES];
static int running, is_init, stopping;
static int daemon_fd = -1;
static int queued[QUEUED_FDS], queued_count;
static unsigned char input[4 + MAX_FRAME];
static size_t input_size;
static char *arguments[MAX_ARGUMENTS + 1], *given[MAX_ARGUMENTS + 1], *environment[2 * MAX_ARGUMENTS + 1];
extern char **environ;

static void say(const char *what, const char *detail) {
    fprintf(stderr, "launcher: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
}

/* The daemon is gone, or speaks nonsense: end everything. As process 1 our exit makes the kernel do it. */
static void end(int code) {
    if (!is_init)
        for (int i = 0; i < MAX_PROCESSES; i++)
            if (processes[i].pid) kill(-processes[i].pid, SIGKILL);
    _exit(code);
}

static void fail(const char *what) {
    say(what, errno ? strerror(errno) : NULL);
    end(70);
}

static void put32(unsigned char *at, uint32_t v) {
    at[0] = v; at[1] = v >> 8; at[2] = v >> 16; at[3] = v >> 24;
}

static uint32_t get32(const unsigned char *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* `frame` holds 4 bytes of room for the length, then type and fields: `size` bytes in all. */
static void answer(unsigned char *frame, size_t size) {
    put32(frame, size - 4);
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(daemon_fd, frame + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) end(0);
        sent += n;
    }
}

static void answer_words(uint8_t type, int words, const uint32_t *word, int stage) {
    unsigned char frame[32];
    size_t size = 5;
    frame[4] = type;
    for (int i = 0; i < words; i++, size += 4) put32(frame + size, word[i]);
    if (stage >= 0) frame[size++] = stage;
    answer(frame, size);
}

/* ---- reading a request: a cursor that cannot leave the frame ---- */

static unsigned char *cursor, *limit;
static int bad;

static uint32_t take(int bytes) {
    if (bad || limit - cursor < bytes) { bad = 1; return 0; }
    uint32_t v = bytes == 1 ? cursor[0] : get32(cursor);
    cursor += bytes;
    return v;
}

static char *take_string(void) {
    uint32_t size = take(4);
    if (bad || size == 0 || (size_t)(limit - cursor) < size || memchr(cursor, 0, size) != cursor + size - 1) {
        bad = 1;
        return "";
    }
    char *s = (char *)cursor;
    cursor += size;
    return s;
}

static uint32_t take_strings(char **into) {
    uint32_t count = take(4);
    if (count > MAX_ARGUMENTS) bad = 1;
    for (uint32_t i = 0; i < count && !bad; i++) into[i] = take_string();
    if (bad) count = 0;
    into[count] = NULL;
    return count;
}

/* ---- starting a process ---- */

static size_t name_length(const char *entry) { return strcspn(entry, "="); }

/* The image's environment (ours) under what was given; an entry without '=' removes the name. */
static void merge_environment(uint32_t count, int clean) {
    int n = 0;
    for (char **e = environ; !clean && *e && n < MAX_ARGUMENTS; e++) {
        size_t length = name_length(*e);
        uint32_t i = 0;
        while (i < count && !(name_length(given[i]) == length && !strncmp(given[i], *e, length))) i++;
        if (i == count) environment[n++] = *e;
    }
    for (uint32_t i = 0; i < count; i++)
        if (strchr(given[i], '=')) environment[n++] = given[i];
    environment[n] = NULL;
}

/* execve with the PATH of the new environment. Returns only on failure, with errno. */
static void execute(void) {
    const char *file = arguments[0], *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char full[PATH_MAX];
    int denied = 0;
    if (strchr(file, '/')) { execve(file, arguments, environment); return; }
    for (char **e = environment; *e; e++)
        if (!strncmp(*e, "PATH=", 5)) path = *e + 5;
    for (const char *p = path;; p++) {
        size_t length = strcspn(p, ":");
        if (length && length + strlen(file) + 2 <= sizeof full) {
            memcpy(full, p, length);
            full[length] = '/';
            strcpy(full + length + 1, file);
            execve(full, arguments, environment);
            if (errno == EACCES) denied = 1;
            else if (errno != ENOENT && errno != ENOTDIR) return;
        }
        p += length;
        if (!*p) break;
    }
    errno = denied ? EACCES : ENOENT;
}

static void spawn(void) {
    uint32_t request = take(4), flags = take(1), fds = take(1);
    char *cwd = take_string();
    uint32_t argc = take_strings(arguments), envc = take_strings(given);
    if (bad || cursor != limit || argc == 0 || fds < MIN_FDS || fds > MAX_FDS || (int)fds > queued_count) {
        errno = 0;
        fail("the daemon sent a malformed SPAWN");
    }
    merge_environment(envc, flags & CLEAN_ENVIRONMENT);
    int slot = 0;
    while (slot < MAX_PROCESSES && processes[slot].pid) slot++;

    volatile int error = EAGAIN, stage = AT_FORK;
    pid_t pid = -1;
    if (slot < MAX_PROCESSES) {
        /* vfork: we are suspended until the child has executed or failed, and see its errno in our own memory. */
        pid = vfork();
        if (pid == 0) {
            sigset_t none;
            sigemptyset(&none);
            setsid();
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            stage = AT_FDS;
            for (int i = 0; i < (int)fds; i++)
                if (dup2(queued[i], i) < 0) { error = errno; _exit(127); }
            stage = AT_CWD;
            if (chdir(cwd)) { error = errno; _exit(127); }
            stage = AT_EXEC;
            sigprocmask(SIG_SETMASK, &none, NULL);
            error = 0;
            execute();
            error = errno;
            _exit(127);
        }
        if (pid < 0) error = errno;
    }
    for (uint32_t i = 0; i < fds; i++) close(queued[i]);
    queued_count -= fds;
    memmove(queued, queued + fds, queued_count * sizeof *queued);
    if (pid > 0 && error) {
        waitpid(pid, NULL, 0);
        pid = 0;
    }
    if (pid > 0) {
        processes[slot].pid = pid;
        processes[slot].flags = flags;
        running++;
        stage = 0;
        if (stopping) kill(-pid, SIGTERM);
    }
    answer_words(SPAWNED, 3, (uint32_t[]){request, pid > 0 ? pid : 0, error}, stage);
}

static int find(pid_t pid) {
    for (int i = 0; pid > 0 && i < MAX_PROCESSES; i++)
        if (processes[i].pid == pid) return i;
    return -1;
}

static void deliver_signal(void) {
    uint32_t request = take(4), pid = take(4), number = take(4), group = take(1);
    int error = 0;
    if (bad || cursor != limit) fail("the daemon sent a malformed SIGNAL");
    if (find(pid) < 0) error = ESRCH; /* never a number that may belong to somebody else by now */
    else if (kill(group ? -(pid_t)pid : (pid_t)pid, number)) error = errno;
    answer_words(SIGNALLED, 2, (uint32_t[]){request, error}, -1);
}

static void read_file(void) {
    static unsigned char frame[13 + MAX_READ];
    uint32_t request = take(4), want = take(4);
    char *path = take_string();
    struct stat st;
    size_t size = 0;
    int error = 0;
    if (bad || cursor != limit || want > MAX_READ) fail("the daemon sent a malformed READ");
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st)) error = errno;
    else if (!S_ISREG(st.st_mode)) error = EINVAL;
    while (!error && size < want) {
        ssize_t n = read(fd, frame + 13 + size, want - size);
        if (n < 0) error = errno;
        if (n <= 0) break;
        size += n;
    }
    if (fd >= 0) close(fd);
    frame[4] = DATA;
    put32(frame + 5, request);
    put32(frame + 9, error);
    answer(frame, 13 + (error ? 0 : size));
}

/* ---- the two things that happen: a frame arrives, a child ends ---- */

static int move_high(int fd) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    if (high < 0) fail("moving a descriptor");
    close(fd);
    return high;
}

static void receive(void) {
    union { struct cmsghdr align; char room[CMSG_SPACE(QUEUED_FDS * sizeof(int))]; } control;
    struct iovec part = {input + input_size, sizeof input - input_size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(daemon_fd, &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) end(0);
    if (message.msg_flags & MSG_CTRUNC) fail("more descriptors than can be taken");
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (int i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (queued_count == QUEUED_FDS) fail("too many descriptors");
            queued[queued_count++] = fd < FIRST_FREE_FD ? move_high(fd) : fd;
        }
    }
    input_size += n;
    size_t start = 0;
    while (input_size - start >= 4) {
        uint32_t size = get32(input + start);
        errno = 0;
        if (size < 1 || size > MAX_FRAME) fail("the daemon sent a frame of impossible length");
        if (input_size - start - 4 < size) break;
        cursor = input + start + 5;
        limit = input + start + 4 + size;
        bad = 0;
        switch (input[start + 4]) {
            case SPAWN: spawn(); break;
            case SIGNAL: deliver_signal(); break;
            case READ: read_file(); break;
            default: fail("the daemon sent an unknown request");
        }
        start += 4 + size;
    }
    input_size -= start;
    memmove(input, input + start, input_size);
}

static void reap(void) {
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0) break;
        int slot = find(info.si_pid), status = 0;
        /* The leader is a zombie still, so its number cannot be anybody else's. */
        if (slot >= 0 && processes[slot].flags & KILL_GROUP) kill(-info.si_pid, SIGKILL);
        if (waitpid(info.si_pid, &status, 0) < 0) break;
        if (slot < 0) continue; /* an orphan */
        processes[slot].pid = 0;
        running--;
        uint32_t code = WIFEXITED(status) ? WEXITSTATUS(status) : -1, number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        answer_words(EXITED, 3, (uint32_t[]){info.si_pid, code, number}, -1);
    }
    if (stopping && running == 0) end(0);
}

static void stop(void) {
    stopping = 1;
    for (int i = 0; i < MAX_PROCESSES; i++)
        if (processes[i].pid) kill(-processes[i].pid, SIGTERM);
    if (running == 0) end(0);
}

/* ---- start-up ---- */

static void make_names(void) {
    static const struct { const char *path; mode_t mode; } directories[] = {
        {"/databricks", 0755}, {"/databricks/driver", 0755}, {"/databricks/init_scripts", 0755},
        {"/local_disk0", 0755}, {"/local_disk0/tmp", 01777}, {"/tmp", 01777},
    };
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        if (!mkdir(directories[i].path, directories[i].mode)) chmod(directories[i].path, directories[i].mode);
        else if (errno != EEXIST) say(directories[i].path, strerror(errno));
    }
    static const char *links[][2] = {
        {"/databricks/spark", "/databricks/runtime"}, {"/databricks/jars", "/databricks/runtime/jars"},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][1], links[i][0]) && errno != EEXIST) say(links[i][0], strerror(errno));
}

static void meet_daemon(void) {
    const char *path = is_init ? NULL : getenv("BOATHOUSE_LAUNCHER_SOCK");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timespec pause = {0, 2000000}, now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t deadline = now.tv_sec + WAIT_FOR_DAEMON_S;
    if (!path) path = SOCKET_PATH;
    if (strlen(path) >= sizeof address.sun_path) fail("the path of the daemon's socket is too long");
    strcpy(address.sun_path, path);
    daemon_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (daemon_fd < 0) fail("socket");
    daemon_fd = move_high(daemon_fd);
    while (connect(daemon_fd, (struct sockaddr *)&address, sizeof address)) {
        if (now.tv_sec > deadline) fail("the daemon does not answer");
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (pause.tv_nsec < 20000000) pause.tv_nsec += 200000;
    }
}

int main(void) {
    sigset_t handled;
    struct pollfd watched[2];
    is_init = getpid() == 1;
    for (int fd = open("/dev/null", O_RDWR); fd >= 0; fd = dup(fd))
        if (fd > 2) { close(fd); break; }
    for (int i = 1; i < NSIG; i++) signal(i, SIG_DFL);
    sigemptyset(&handled);
    sigaddset(&handled, SIGCHLD);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigprocmask(SIG_BLOCK, &handled, NULL);
    umask(022);
    if (is_init) make_names();
    else prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    int signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) fail("signalfd");
    signals = move_high(signals);
    meet_daemon();
    answer_words(HELLO, 2, (uint32_t[]){VERSION, getpid()}, -1);
    watched[0] = (struct pollfd){.fd = daemon_fd, .events = POLLIN};
    watched[1] = (struct pollfd){.fd = signals, .events = POLLIN};
    for (;;) {
        struct signalfd_siginfo info;
        if (poll(watched, 2, -1) < 0 && errno != EINTR) fail("poll");
        if (watched[1].revents) {
            while (read(signals, &info, sizeof info) == sizeof info)
                if (info.ssi_signo != SIGCHLD) stop();
            reap();
        }
        if (watched[0].revents) receive();
    }
}
