/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of versions (versions.h). Every file is written beside its place, synced, and renamed over it, and
 * the directory is synced, so that after a crash each file is the old one or the new one, whole.
 */
#include "control/policy/versions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/shared/paths.h"

#define PATH_SIZE   512
#define CURRENT     "current.image"
#define IN_FORCE    "in-force" /* suffix of an empty file: this version has been current */
#define BOOK        "zones"
#define BOOK_HEADER "greyline zones 1\n"

static int path_of(const char *state_dir, const char *name, char path[PATH_SIZE])
{
        int len = snprintf(path, PATH_SIZE, "%s/%s%s%s", state_dir, PATHS_IMAGES, *name ? "/" : "", name);

        return len < PATH_SIZE ? 0 : -ENAMETOOLONG;
}

const char *policy_versions_path(const char *state_dir, uint32_t generation, const char *suffix, char *buf,
                                 size_t size)
{
        snprintf(buf, size, "%s/%s/%" PRIu32 ".%s", state_dir, PATHS_IMAGES, generation, suffix);
        return buf;
}

int policy_versions_init(const char *state_dir)
{
        char path[PATH_SIZE];
        int r = path_of(state_dir, "", path);

        if (r < 0)
                return r;
        return mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
}

/* ---- files ------------------------------------------------------------------------------------------ */

static int sync_dir(const char *state_dir)
{
        char path[PATH_SIZE];
        int fd, r = path_of(state_dir, "", path);

        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fsync(fd) < 0 ? -errno : 0;
        close(fd);
        return r;
}

static int write_all(int fd, const void *bytes, size_t len)
{
        const uint8_t *at = bytes;

        while (len > 0) {
                ssize_t done = write(fd, at, len);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done <= 0)
                        return done < 0 ? -errno : -EIO;
                at += done;
                len -= (size_t)done;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

static int write_file(const char *state_dir, const char *name, const void *bytes, size_t len)
{
        char path[PATH_SIZE], temporary[PATH_SIZE];
        int fd, r = path_of(state_dir, name, path);

        if (r == 0)
                r = path_of(state_dir, ".new", temporary);
        if (r < 0)
                return r;
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (fd < 0)
                return -errno;
        r = write_all(fd, bytes, len);
        if (close(fd) < 0 && r == 0)
                r = -errno;
        if (r == 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0)
                unlink(temporary);
        return r;
}

/* The whole of a file below the limit, in memory aligned for an image. *ret is the caller's, with a NUL behind. */
static int read_file(const char *state_dir, const char *name, uint64_t max, void **ret, size_t *ret_len)
{
        char path[PATH_SIZE];
        struct stat st;
        uint8_t *bytes = NULL;
        size_t len = 0;
        int fd, r = path_of(state_dir, name, path);

        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fstat(fd, &st) < 0 ? -errno : 0;
        if (r == 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max))
                r = -EBADMSG;
        if (r < 0)
                goto out;
        bytes = aligned_alloc(IMAGE_ALIGN, ((size_t)st.st_size / IMAGE_ALIGN + 1) * IMAGE_ALIGN);
        if (!bytes) {
                r = -ENOMEM;
                goto out;
        }
        while (len < (size_t)st.st_size) {
                ssize_t got = read(fd, bytes + len, (size_t)st.st_size - len);

                if (got <= 0) {
                        r = got < 0 ? -errno : -EBADMSG;
                        goto out;
                }
                len += (size_t)got;
        }
        bytes[len] = '\0';
        *ret = bytes;
        *ret_len = len;
        bytes = NULL;
out:
        free(bytes);
        close(fd);
        return r;
}

/* ---- the numbers that are there --------------------------------------------------------------------- */

/* N of "N.image", or 0. */
static uint32_t number_of(const char *name)
{
        char *end;
        unsigned long number = *name >= '1' && *name <= '9' ? strtoul(name, &end, 10) : 0;

        return number > 0 && number <= UINT32_MAX && strcmp(end, ".image") == 0 ? (uint32_t)number : 0;
}

static int newest_first(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return x < y ? 1 : x > y ? -1 : 0;
}

/* All numbers, newest first; the list is the caller's. Returns how many, or a negative errno. */
static int read_numbers(const char *state_dir, uint32_t **ret)
{
        uint32_t *numbers = NULL;
        unsigned count = 0, room = 0;
        char path[PATH_SIZE];
        const struct dirent *entry;
        DIR *dir;
        int r = path_of(state_dir, "", path);

        if (r < 0)
                return r;
        dir = opendir(path);
        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                uint32_t number = number_of(entry->d_name);

                if (number == 0)
                        continue;
                if (count == room) {
                        uint32_t *more = realloc(numbers, (room += 64) * sizeof(*more));

                        if (!more) {
                                free(numbers);
                                closedir(dir);
                                return -ENOMEM;
                        }
                        numbers = more;
                }
                numbers[count++] = number;
        }
        closedir(dir);
        if (count > 0)
                qsort(numbers, count, sizeof(*numbers), newest_first);
        *ret = numbers;
        return (int)count;
}

uint32_t policy_versions_next(const char *state_dir)
{
        uint32_t *numbers = NULL, next;
        int count = read_numbers(state_dir, &numbers);

        if (count < 0)
                return 0;
        next = count > 0 ? numbers[0] + 1 : 1;
        free(numbers);
        return next;
}

uint32_t policy_versions_current(const char *state_dir)
{
        char path[PATH_SIZE], target[64];
        ssize_t len;

        if (path_of(state_dir, CURRENT, path) < 0)
                return 0;
        len = readlink(path, target, sizeof(target) - 1);
        if (len < 0)
                return 0;
        target[len] = '\0';
        return number_of(target);
}

static bool was_in_force(const char *state_dir, uint32_t generation)
{
        char path[PATH_SIZE];

        return access(policy_versions_path(state_dir, generation, IN_FORCE, path, sizeof(path)), F_OK) == 0;
}

uint32_t policy_versions_before(const char *state_dir, uint32_t generation)
{
        uint32_t *numbers = NULL, before = 0;
        int count = read_numbers(state_dir, &numbers);

        for (int i = 0; i < count && before == 0; i++) {
                if (numbers[i] < generation && was_in_force(state_dir, numbers[i]))
                        before = numbers[i];
        }
        free(numbers);
        return before;
}

static void remove_old(const char *state_dir)
{
        static const char *const suffixes[] = { "yaml", "json", "image", IN_FORCE };
        uint32_t current = policy_versions_current(state_dir);
        uint32_t *numbers = NULL;
        int count = read_numbers(state_dir, &numbers);

        for (int i = POLICY_VERSIONS_KEEP; i < count; i++) {
                for (unsigned k = 0; k < ARRAY_LEN(suffixes) && numbers[i] != current; k++) {
                        char path[PATH_SIZE];

                        unlink(policy_versions_path(state_dir, numbers[i], suffixes[k], path, sizeof(path)));
                }
        }
        free(numbers);
}

/* ---- the book of zones ------------------------------------------------------------------------------ */

bool policy_versions_zones(const char *state_dir, struct policy_zone_book *ret)
{
        struct policy_zone_book book = { 0 };
        unsigned number, lines = 0;
        char name[64], *line, *rest;
        void *text;
        size_t len;
        uint64_t key, since;

        *ret = book;
        if (read_file(state_dir, BOOK, 64 << 10, &text, &len) < 0)
                return false;
        if (strncmp(text, BOOK_HEADER, strlen(BOOK_HEADER)) != 0)
                goto damaged;
        line = strtok_r((char *)text + strlen(BOOK_HEADER), "\n", &rest);
        for (; line; line = strtok_r(NULL, "\n", &rest)) {
                if (strcmp(line, "end") == 0)
                        break;
                if (sscanf(line, "%u %" SCNx64 " %" SCNu64 " %63s", &number, &key, &since, name) != 4 ||
                    number >= IMAGE_ZONES_MAX || ++lines > IMAGE_ZONES_MAX)
                        goto damaged;
                book.entry[number].key = key;
                book.entry[number].unused_since_sec = since;
                strcpy(book.entry[number].name, name);
        }
        if (!line)
                goto damaged;
        free(text);
        *ret = book;
        return true;
damaged:
        free(text);
        return false;
}

static int write_book(const char *state_dir, const struct policy_zone_book *book)
{
        char text[8192] = BOOK_HEADER;
        size_t len = strlen(text);

        for (unsigned i = 0; i < IMAGE_ZONES_MAX; i++) {
                const struct policy_zone_entry *entry = &book->entry[i];

                if (entry->key != 0)
                        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                                "%u %016" PRIx64 " %" PRIu64 " %s\n", i, entry->key,
                                                entry->unused_since_sec, *entry->name ? entry->name : "-");
        }
        len += (size_t)snprintf(text + len, sizeof(text) - len, "end\n");
        return write_file(state_dir, BOOK, text, len);
}

/* Does every zone of the image still have its number? With ret_used: bit per number that it uses. */
static bool has_its_numbers(const struct image *image, const struct policy_zone_book *book,
                            uint32_t *ret_used)
{
        *ret_used = 0;
        for (uint32_t i = 0; i < image->zones.count; i++) {
                const struct image_zone *zone = image_zone(image, i);
                uint64_t key = policy_zone_key(image_string(image, zone->domain),
                                               image_codes(image, zone->codes.first), zone->codes.count);

                if (book->entry[zone->number].key != key)
                        return false;
                *ret_used |= 1u << zone->number;
        }
        return true;
}

/* ---- storing and choosing --------------------------------------------------------------------------- */

/* Copy what may stand in a JSON string as it is; anything else becomes '?'. */
static const char *plain(const char *text, char *buf, size_t size)
{
        size_t i;

        for (i = 0; text[i] != '\0' && i < size - 1; i++)
                buf[i] = text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\' ? '?' : text[i];
        buf[i] = '\0';
        return buf;
}

static int write_json(const char *state_dir, const struct policy_version *version, size_t image_len)
{
        char who[64], from[64], source[256], text[768], name[32];
        int len = snprintf(text, sizeof(text),
                           "{\"version\":%" PRIu32 ",\"pushed\":%" PRIu64 ",\"bytes\":%zu,\"who\":\"%s\","
                           "\"from\":\"%s\",\"source\":\"%s\"}\n",
                           version->generation, version->pushed_sec, image_len,
                           plain(version->who, who, sizeof(who)), plain(version->from, from, sizeof(from)),
                           plain(version->source, source, sizeof(source)));

        snprintf(name, sizeof(name), "%" PRIu32 ".json", version->generation);
        return write_file(state_dir, name, text, (size_t)len);
}

int policy_versions_store(const char *state_dir, const struct policy_version *version, const char *yaml,
                          size_t yaml_len, const void *image, size_t image_len,
                          const struct policy_zone_book *zones)
{
        char name[32];
        int r;

        /* The book first: a number must be known as given before an image uses it; the image last: it makes
         * the version one. */
        r = write_book(state_dir, zones);
        if (r == 0) {
                snprintf(name, sizeof(name), "%" PRIu32 ".yaml", version->generation);
                r = write_file(state_dir, name, yaml, yaml_len);
        }
        if (r == 0)
                r = write_json(state_dir, version, image_len);
        if (r == 0) {
                snprintf(name, sizeof(name), "%" PRIu32 ".image", version->generation);
                r = write_file(state_dir, name, image, image_len);
        }
        if (r == 0)
                r = sync_dir(state_dir);
        if (r == 0)
                remove_old(state_dir);
        return r;
}

static int point_current(const char *state_dir, uint32_t generation)
{
        char path[PATH_SIZE], temporary[PATH_SIZE], target[32];
        int r = path_of(state_dir, CURRENT, path);

        if (r == 0)
                r = path_of(state_dir, ".current", temporary);
        if (r < 0)
                return r;
        snprintf(target, sizeof(target), "%" PRIu32 ".image", generation);
        unlink(temporary);
        if (symlink(target, temporary) < 0 || rename(temporary, path) < 0)
                return -errno;
        return sync_dir(state_dir);
}

int policy_versions_make_current(const char *state_dir, uint32_t generation, uint64_t now_sec)
{
        struct policy_zone_book book;
        char name[32];
        void *image;
        size_t len;
        uint32_t used;
        bool is_same;
        int r = policy_versions_load(state_dir, generation, &image, &len);

        if (r < 0)
                return r;
        /* Without a book there is nobody to ask; the image at hand makes a new one. */
        if (!policy_versions_zones(state_dir, &book)) {
                const struct image *of = image;

                for (uint32_t i = 0; i < of->zones.count; i++) {
                        const struct image_zone *zone = image_zone(of, i);
                        struct policy_zone_entry *entry = &book.entry[zone->number];

                        entry->key = policy_zone_key(image_string(of, zone->domain),
                                                     image_codes(of, zone->codes.first), zone->codes.count);
                        snprintf(entry->name, sizeof(entry->name), "%.63s", image_string(of, zone->name));
                }
        }
        is_same = has_its_numbers(image, &book, &used);
        free(image);
        if (!is_same)
                return -ESTALE;
        for (unsigned i = 0; i < IMAGE_ZONES_MAX; i++) {
                if (used & 1u << i)
                        book.entry[i].unused_since_sec = 0;
                else if (book.entry[i].key != 0 && book.entry[i].unused_since_sec == 0)
                        book.entry[i].unused_since_sec = now_sec;
        }
        r = write_book(state_dir, &book);
        snprintf(name, sizeof(name), "%" PRIu32 "." IN_FORCE, generation);
        if (r == 0)
                r = write_file(state_dir, name, "", 0);
        return r < 0 ? r : point_current(state_dir, generation);
}

int policy_versions_load(const char *state_dir, uint32_t generation, void **ret_image, size_t *ret_len)
{
        char name[32], reason[IMAGE_REASON_MAX];
        void *image;
        size_t len;
        int r;

        if (generation == 0)
                generation = policy_versions_current(state_dir);
        if (generation == 0)
                return -ENOENT;
        snprintf(name, sizeof(name), "%" PRIu32 ".image", generation);
        r = read_file(state_dir, name, IMAGE_BYTES_MAX, &image, &len);
        if (r < 0)
                return r;
        if (image_check(image, len, reason) < 0 || ((const struct image *)image)->generation != generation) {
                free(image);
                return -EBADMSG;
        }
        *ret_image = image;
        *ret_len = len;
        return 0;
}

/* The value of a key in N.json, which write_json() made, so no escapes. */
static void json_value(const char *json, const char *key, char *buf, size_t size)
{
        const char *at = strstr(json, key);
        size_t len;

        buf[0] = '\0';
        if (!at)
                return;
        at += strlen(key);
        len = strcspn(at, at[-1] == '"' ? "\"" : ",}");
        snprintf(buf, size, "%.*s", (int)MIN(len, size - 1), at);
}

static void read_version(const char *state_dir, uint32_t generation, struct policy_version *ret)
{
        char name[32], number[32];
        void *json;
        size_t len;

        *ret = (struct policy_version){ .generation = generation };
        snprintf(name, sizeof(name), "%" PRIu32 ".json", generation);
        if (read_file(state_dir, name, 4096, &json, &len) < 0)
                return;
        json_value(json, "\"who\":\"", ret->who, sizeof(ret->who));
        json_value(json, "\"from\":\"", ret->from, sizeof(ret->from));
        json_value(json, "\"pushed\":", number, sizeof(number));
        ret->pushed_sec = strtoull(number, NULL, 10);
        json_value(json, "\"bytes\":", number, sizeof(number));
        ret->image_bytes = strtoull(number, NULL, 10);
        json_value(json, "\"source\":\"", ret->source, sizeof(ret->source));
        free(json);
}

int policy_versions_list(const char *state_dir, struct policy_version *ret, unsigned max)
{
        uint32_t current = policy_versions_current(state_dir);
        uint32_t *numbers = NULL;
        int count = read_numbers(state_dir, &numbers);

        if (count < 0)
                return count;
        count = (int)MIN((unsigned)count, max);
        for (int i = 0; i < count; i++) {
                read_version(state_dir, numbers[i], &ret[i]);
                ret[i].is_current = numbers[i] == current;
                ret[i].was_in_force = was_in_force(state_dir, numbers[i]);
        }
        free(numbers);
        return count;
}
