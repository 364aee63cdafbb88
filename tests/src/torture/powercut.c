/* A disk that can lose its power. Preloaded into the program, this notes what would take back each change of the files
   and names below a folder, and what a sync made safe; `powercut.rs` takes the rest back once the program is dead.

   A note of a write comes before the write, for what stood there is gone behind it; one of a name or a sync comes
   after, for only what succeeded counts. A process that dies in between leaves a note that takes back nothing, or a
   name that counts as kept, and either may happen in a power cut, too. The numbers go on where the process before
   ended: a kill leaves the page cache as it was.

   POWERCUT_ROOT       the folder; nothing outside is noted
   POWERCUT_NOTES      the file of notes
   POWERCUT_GONE       a folder beside it, where files that lose their last name get another
   POWERCUT_FAIL_SYNC  once this file exists, one sync of a file fails with EIO, and nothing else ever does
   POWERCUT_FULL       while this file exists, every write that would make a file longer fails with ENOSPC
   POWERCUT_SYNC_US    a sync takes so many microseconds longer, as on a slower disk
   POWERCUT_CLOCK      after so many looks the clock goes back an hour, after as many more it is right again, and so on */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* `powercut.rs` knows the same numbers. */
enum kind {
    WROTE = 1,      /* inode, offset, length, size before; the bytes that stood there */
    RESIZED,        /* inode, offset = size after, size before; the bytes that were cut off */
    SYNCED,         /* inode of a file or a folder, sequence = the last change it made safe */
    SYNC_FAILED,    /* the same; those changes are given up and no later sync writes them */
    ALL_SYNCED,     /* sequence */
    CREATED,        /* inode, offset = its folder; the path */
    REMOVED,        /* the same */
    RENAMED,        /* inode, offset = folder before, length = folder after, size = replaced inode or 0; both paths */
    MADE_FOLDER,    /* as CREATED */
    REMOVED_FOLDER, /* as CREATED */
    BEYOND,         /* something this does not model; what it is called */
};

struct note {
    uint32_t kind;
    uint32_t text_bytes;
    uint64_t sequence, inode, offset, length, size, bytes;
};

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static const char *root, *gone, *fail_sync, *full;
static size_t root_length;
static int notes = -1;
static uint64_t sequence;
static atomic_int has_failed;
static atomic_ulong looks;
static unsigned long looks_an_hour, sync_us;

static unsigned long number_in(const char *name) {
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : 0;
}

/* A program that was killed while it noted left a last note that is not whole, of a change that was not made. */
static uint64_t end_of_whole_notes(uint64_t size) {
    struct note note;
    uint64_t end = 0;
    while (syscall(SYS_pread64, notes, &note, sizeof note, end) == sizeof note) {
        uint64_t next = end + sizeof note + note.text_bytes + note.bytes;
        if (next > size) break;
        end = next;
    }
    return end;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("POWERCUT_NOTES");
    looks_an_hour = number_in("POWERCUT_CLOCK");
    sync_us = number_in("POWERCUT_SYNC_US");
    root = getenv("POWERCUT_ROOT");
    gone = getenv("POWERCUT_GONE");
    fail_sync = getenv("POWERCUT_FAIL_SYNC");
    full = getenv("POWERCUT_FULL");
    if (!root || !gone || !path) return;
    root_length = strlen(root);
    notes = syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    struct stat is;
    /* More than there are notes, so that no number comes twice. */
    if (notes >= 0 && syscall(SYS_fstat, notes, &is) == 0) sequence = end_of_whole_notes(is.st_size);
    if (notes < 0 || syscall(SYS_ftruncate, notes, sequence) != 0) {
        fprintf(stderr, "powercut: cannot note in %s\n", path);
        _exit(70);
    }
}

static void put(struct note note, const char *text, size_t text_bytes, const void *bytes) {
    int error = errno;
    note.text_bytes = text_bytes;
    struct iovec parts[] = {{&note, sizeof note}, {(void *)text, text_bytes}, {(void *)bytes, note.bytes}};
    size_t whole = sizeof note + text_bytes + note.bytes;
    if (syscall(SYS_writev, notes, parts, 3) != (long)whole) {
        fprintf(stderr, "powercut: a note is not whole\n");
        _exit(70);
    }
    errno = error;
}

/* Which files are the disk's. */

static int below_root(const char *path) {
    return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static int path_of(int file, char path[PATH_MAX]) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

/* Leaves `errno` as it was, as everything does that the program did not ask for. */
static int is_ours(int file, struct stat *is) {
    char path[PATH_MAX];
    int error = errno;
    int ours = notes >= 0 && file >= 0 && syscall(SYS_fstat, file, is) == 0 &&
               (S_ISREG(is->st_mode) || S_ISDIR(is->st_mode)) && path_of(file, path) && below_root(path);
    errno = error;
    return ours;
}

static int is_our_file(int file, struct stat *is) { return is_ours(file, is) && S_ISREG(is->st_mode); }

static void beyond(const char *what) {
    pthread_mutex_lock(&one_at_a_time);
    put((struct note){.kind = BEYOND, .sequence = ++sequence}, what, strlen(what), NULL);
    pthread_mutex_unlock(&one_at_a_time);
}

/* What stands in files. */

/* A handle of its own: the program's may be for writing only. */
static void *bytes_at(int file, uint64_t offset, uint64_t length, uint64_t *got) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int reader = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
    char *bytes = malloc(length);
    *got = 0;
    while (reader >= 0 && bytes && *got < length) {
        ssize_t more = syscall(SYS_pread64, reader, bytes + *got, length - *got, offset + *got);
        if (more <= 0) break;
        *got += more;
    }
    if (reader >= 0) syscall(SYS_close, reader);
    if (*got != length) {
        fprintf(stderr, "powercut: cannot read what is overwritten\n");
        _exit(70);
    }
    return bytes;
}

static void note_write(int file, const struct stat *is, uint64_t offset, uint64_t length) {
    uint64_t size = is->st_size, end = offset + length < size ? offset + length : size;
    struct note note = {WROTE, 0, ++sequence, is->st_ino, offset, length, size, 0};
    void *bytes = offset < end ? bytes_at(file, offset, end - offset, &note.bytes) : NULL;
    put(note, NULL, 0, bytes);
    free(bytes);
}

static void note_resize(int file, const struct stat *is, uint64_t to) {
    uint64_t size = is->st_size;
    struct note note = {RESIZED, 0, ++sequence, is->st_ino, to, 0, size, 0};
    void *bytes = to < size ? bytes_at(file, to, size - to, &note.bytes) : NULL;
    put(note, NULL, 0, bytes);
    free(bytes);
}

static int disk_is_full(void) { return full && syscall(SYS_faccessat, AT_FDCWD, full, F_OK) == 0; }

/* A write at the file's own place, or where it is told. A write that syncs by itself is not modelled. */
static long written(int file, int64_t offset, uint64_t length, int call, const void *what, long count) {
    struct stat is;
    int ours = is_our_file(file, &is);
    if (ours) {
        int flags = syscall(SYS_fcntl, file, F_GETFL);
        if (flags & O_DSYNC) beyond("a file opened with O_SYNC or O_DSYNC");
        pthread_mutex_lock(&one_at_a_time);
        /* Others may have written since. */
        syscall(SYS_fstat, file, &is);
        int64_t at = offset;
        if (at < 0 || (flags & O_APPEND)) at = flags & O_APPEND ? is.st_size : syscall(SYS_lseek, file, 0L, SEEK_CUR);
        if (at + (int64_t)length > is.st_size && disk_is_full()) {
            pthread_mutex_unlock(&one_at_a_time);
            errno = ENOSPC;
            return -1;
        }
        note_write(file, &is, at, length);
    }
    long done = offset < 0 ? syscall(call, file, what, count) : syscall(call, file, what, count, offset, 0L);
    if (ours) pthread_mutex_unlock(&one_at_a_time);
    return done;
}

static uint64_t bytes_in(const struct iovec *parts, int count) {
    uint64_t bytes = 0;
    for (int part = 0; part < count; part++) bytes += parts[part].iov_len;
    return bytes;
}

ssize_t write(int file, const void *bytes, size_t count) { return written(file, -1, count, SYS_write, bytes, count); }
ssize_t writev(int file, const struct iovec *parts, int count) {
    return written(file, -1, bytes_in(parts, count), SYS_writev, parts, count);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    return written(file, offset, count, SYS_pwrite64, bytes, count);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) { return pwrite64(file, bytes, count, offset); }
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t offset) {
    return written(file, offset, bytes_in(parts, count), SYS_pwritev, parts, count);
}
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(file, parts, count, offset);
}

int ftruncate64(int file, off64_t to) {
    struct stat is;
    int ours = is_our_file(file, &is);
    if (ours) {
        pthread_mutex_lock(&one_at_a_time);
        syscall(SYS_fstat, file, &is);
        note_resize(file, &is, to);
    }
    int done = syscall(SYS_ftruncate, file, to);
    if (ours) pthread_mutex_unlock(&one_at_a_time);
    return done;
}
int ftruncate(int file, off_t to) { return ftruncate64(file, to); }

int truncate64(const char *path, off64_t to) {
    int file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return -1;
    int done = ftruncate64(file, to), error = errno;
    syscall(SYS_close, file);
    errno = error;
    return done;
}
int truncate(const char *path, off_t to) { return truncate64(path, to); }

int fallocate64(int file, int mode, off64_t offset, off64_t length) {
    struct stat is;
    int ours = is_our_file(file, &is);
    int zeroes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
    if (ours && (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
        beyond("fallocate that moves bytes");
    if (ours) {
        pthread_mutex_lock(&one_at_a_time);
        syscall(SYS_fstat, file, &is);
        uint64_t end = offset + length, size = is.st_size;
        if (zeroes) note_write(file, &is, offset, length);
        else if (!(mode & FALLOC_FL_KEEP_SIZE) && end > size) note_resize(file, &is, end);
    }
    int done = syscall(SYS_fallocate, file, mode, offset, length);
    if (ours) pthread_mutex_unlock(&one_at_a_time);
    return done;
}
int fallocate(int file, int mode, off_t offset, off_t length) { return fallocate64(file, mode, offset, length); }
int posix_fallocate64(int file, off64_t offset, off64_t length) {
    int error = errno, failed = fallocate64(file, 0, offset, length) == 0 ? 0 : errno;
    errno = error;
    return failed;
}
int posix_fallocate(int file, off_t offset, off_t length) { return posix_fallocate64(file, offset, length); }

/* What makes them safe. `sync_file_range` does not, says its manual, so it is left alone. */

static int synced(int file, int call) {
    struct stat is;
    if (!is_ours(file, &is)) return syscall(call, file);
    pthread_mutex_lock(&one_at_a_time);
    struct note note = {.kind = SYNCED, .sequence = sequence, .inode = is.st_ino};
    int fails = S_ISREG(is.st_mode) && fail_sync && !has_failed && syscall(SYS_faccessat, AT_FDCWD, fail_sync, F_OK) == 0;
    if (fails) {
        has_failed = 1;
        note.kind = SYNC_FAILED;
        put(note, NULL, 0, NULL);
    }
    pthread_mutex_unlock(&one_at_a_time);
    if (fails) {
        errno = EIO;
        return -1;
    }
    /* What is written meanwhile is not waited for. */
    if (sync_us) usleep(sync_us);
    int done = syscall(call, file);
    if (done == 0) {
        pthread_mutex_lock(&one_at_a_time);
        put(note, NULL, 0, NULL);
        pthread_mutex_unlock(&one_at_a_time);
    }
    return done;
}

int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

static void all_synced(uint64_t until) {
    if (notes < 0) return;
    pthread_mutex_lock(&one_at_a_time);
    put((struct note){.kind = ALL_SYNCED, .sequence = until}, NULL, 0, NULL);
    pthread_mutex_unlock(&one_at_a_time);
}

void sync(void) {
    uint64_t until = sequence;
    syscall(SYS_sync);
    all_synced(until);
}
int syncfs(int file) {
    struct stat is;
    uint64_t until = sequence;
    int done = syscall(SYS_syncfs, file);
    if (done == 0 && is_ours(file, &is)) all_synced(until);
    return done;
}

/* Names. */

/* The path with its folder as it is called without links, and the folder's inode. */
static int place_of(int folder, const char *path, char place[PATH_MAX], uint64_t *parent) {
    char whole[2 * PATH_MAX], real[PATH_MAX];
    if (notes < 0 || !path) return 0;
    if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
    else if (folder == AT_FDCWD) snprintf(whole, sizeof whole, "./%s", path);
    else if (path_of(folder, real)) snprintf(whole, sizeof whole, "%s/%s", real, path);
    else return 0;
    size_t end = strlen(whole);
    while (end > 1 && whole[end - 1] == '/') whole[--end] = 0;
    char *name = strrchr(whole, '/');
    struct stat is;
    *name++ = 0;
    if (!realpath(whole[0] ? whole : "/", real) || stat(real, &is) != 0) return 0;
    *parent = is.st_ino;
    return snprintf(place, PATH_MAX, "%s/%s", real, name) < PATH_MAX && below_root(place);
}

static int is_ours_at(int folder, const char *path, char place[PATH_MAX], uint64_t *parent) {
    int error = errno;
    int ours = place_of(folder, path, place, parent);
    errno = error;
    return ours;
}

static int at(const char *place, struct stat *is) {
    int error = errno, there = syscall(SYS_newfstatat, AT_FDCWD, place, is, AT_SYMLINK_NOFOLLOW) == 0;
    errno = error;
    return there;
}

/* Another name for a file that loses this one: its inode goes to no other file, and it can come back. */
static void keep(const char *place, const struct stat *is) {
    char other[PATH_MAX];
    int error = errno;
    snprintf(other, sizeof other, "%s/%llu", gone, (unsigned long long)is->st_ino);
    if (S_ISREG(is->st_mode) && syscall(SYS_linkat, AT_FDCWD, place, AT_FDCWD, other, 0) != 0 && errno != EEXIST) {
        fprintf(stderr, "powercut: cannot keep %s\n", place);
        _exit(70);
    }
    errno = error;
}

static void note_name(enum kind kind, const struct stat *is, uint64_t parent, const char *place) {
    put((struct note){kind, 0, ++sequence, is->st_ino, parent, 0, 0, 0}, place, strlen(place), NULL);
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char place[PATH_MAX];
    uint64_t parent;
    struct stat is;
    if (!(flags & (O_CREAT | O_TRUNC)) || !is_ours_at(folder, path, place, &parent))
        return syscall(SYS_openat, folder, path, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE) beyond("a file without a name");
    pthread_mutex_lock(&one_at_a_time);
    int was_there = at(place, &is);
    if (was_there && S_ISLNK(is.st_mode)) put((struct note){.kind = BEYOND}, "a link", 6, NULL);
    if (was_there && S_ISREG(is.st_mode) && (flags & O_TRUNC) && !(flags & O_EXCL)) {
        int reader = syscall(SYS_openat, AT_FDCWD, place, O_RDONLY | O_CLOEXEC);
        if (reader >= 0) {
            note_resize(reader, &is, 0);
            syscall(SYS_close, reader);
        }
    }
    int file = syscall(SYS_openat, folder, path, flags, mode);
    if (file >= 0 && !was_there && at(place, &is)) note_name(CREATED, &is, parent, place);
    pthread_mutex_unlock(&one_at_a_time);
    return file;
}

static mode_t mode_in(int flags, va_list more) {
    return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(more, mode_t) : 0;
}

#define OPENS(name)                                                                                                    \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = mode_in(flags, more);                                                                            \
        va_end(more);                                                                                                  \
        return opened(AT_FDCWD, path, flags, mode);                                                                    \
    }
#define OPENS_AT(name)                                                                                                 \
    int name(int folder, const char *path, int flags, ...) {                                                           \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = mode_in(flags, more);                                                                            \
        va_end(more);                                                                                                  \
        return opened(folder, path, flags, mode);                                                                      \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int mkdirat(int folder, const char *path, mode_t mode) {
    char place[PATH_MAX];
    uint64_t parent;
    struct stat is;
    if (!is_ours_at(folder, path, place, &parent)) return syscall(SYS_mkdirat, folder, path, mode);
    pthread_mutex_lock(&one_at_a_time);
    int done = syscall(SYS_mkdirat, folder, path, mode);
    if (done == 0 && at(place, &is)) note_name(MADE_FOLDER, &is, parent, place);
    pthread_mutex_unlock(&one_at_a_time);
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int unlinkat(int folder, const char *path, int flags) {
    char place[PATH_MAX];
    uint64_t parent;
    struct stat is;
    if (!is_ours_at(folder, path, place, &parent)) return syscall(SYS_unlinkat, folder, path, flags);
    pthread_mutex_lock(&one_at_a_time);
    int was_there = at(place, &is);
    if (was_there) keep(place, &is);
    int done = syscall(SYS_unlinkat, folder, path, flags);
    if (done == 0 && was_there) note_name(flags & AT_REMOVEDIR ? REMOVED_FOLDER : REMOVED, &is, parent, place);
    pthread_mutex_unlock(&one_at_a_time);
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat is;
    return at(path, &is) && S_ISDIR(is.st_mode) ? rmdir(path) : unlink(path);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char before[PATH_MAX], after[PATH_MAX], both[2 * PATH_MAX];
    uint64_t parent_before, parent_after;
    struct stat is, replaced;
    int from_ours = is_ours_at(from_folder, from, before, &parent_before);
    int to_ours = is_ours_at(to_folder, to, after, &parent_after);
    if (!from_ours && !to_ours) return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (from_ours != to_ours || (flags & ~1u)) beyond("a name that leaves the disk or is exchanged");
    pthread_mutex_lock(&one_at_a_time);
    int was_there = at(before, &is), replaces = at(after, &replaced) && replaced.st_ino != is.st_ino;
    if (was_there && S_ISDIR(is.st_mode)) put((struct note){.kind = BEYOND}, "a folder gets another name", 26, NULL);
    if (was_there && replaces) keep(after, &replaced);
    int done = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (done == 0 && was_there) {
        struct note note = {RENAMED, 0, ++sequence, is.st_ino, parent_before, parent_after, 0, 0};
        if (replaces) note.size = replaced.st_ino;
        int length = snprintf(both, sizeof both, "%s%c%s", before, 0, after);
        put(note, both, length, NULL);
    }
    pthread_mutex_unlock(&one_at_a_time);
    return done;
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return renameat2(from_folder, from, to_folder, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char place[PATH_MAX];
    uint64_t parent;
    struct stat is;
    if (!is_ours_at(to_folder, to, place, &parent)) return syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    pthread_mutex_lock(&one_at_a_time);
    int done = syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    if (done == 0 && at(place, &is)) note_name(CREATED, &is, parent, place);
    pthread_mutex_unlock(&one_at_a_time);
    return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* What would change files past the notes. */

ssize_t copy_file_range(int from, off64_t *at_from, int to, off64_t *at_to, size_t length, unsigned flags) {
    struct stat is;
    if (is_our_file(to, &is)) beyond("copy_file_range");
    return syscall(SYS_copy_file_range, from, at_from, to, at_to, length, flags);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t count) {
    struct stat is;
    if (is_our_file(to, &is)) beyond("sendfile");
    return syscall(SYS_sendfile, to, from, offset, count);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t count) { return sendfile64(to, from, offset, count); }
ssize_t splice(int from, off64_t *at_from, int to, off64_t *at_to, size_t length, unsigned flags) {
    struct stat is;
    if (is_our_file(to, &is)) beyond("splice");
    return syscall(SYS_splice, from, at_from, to, at_to, length, flags);
}
ssize_t pwritev64v2(int file, const struct iovec *parts, int count, off64_t offset, int flags) {
    struct stat is;
    if (is_our_file(file, &is)) beyond("pwritev2");
    return syscall(SYS_pwritev2, file, parts, (long)count, offset, 0L, flags);
}
ssize_t pwritev2(int file, const struct iovec *parts, int count, off_t offset, int flags) {
    return pwritev64v2(file, parts, count, offset, flags);
}
int symlinkat(const char *target, int folder, const char *path) {
    char place[PATH_MAX];
    uint64_t parent;
    if (is_ours_at(folder, path, place, &parent)) beyond("a link");
    return syscall(SYS_symlinkat, target, folder, path);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
void *mmap64(void *address, size_t length, int protection, int flags, int file, off64_t offset) {
    struct stat is;
    if ((flags & MAP_SHARED) && (protection & PROT_WRITE) && is_our_file(file, &is)) beyond("a file mapped for writing");
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}
void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return mmap64(address, length, protection, flags, file, offset);
}

/* The clock. */

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = syscall(SYS_clock_gettime, clock, now);
    if (done == 0 && clock == CLOCK_REALTIME && looks_an_hour && atomic_fetch_add(&looks, 1) / looks_an_hour % 2 == 1)
        now->tv_sec -= 3600;
    return done;
}
