/* SPDX-License-Identifier: Apache-2.0 */
#include "control/store/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "control/store/merge.h"
#include "dataplane/shared/secret.h"
#include "dataplane/shared/siphash.h"

#define SNAPSHOT_MAGIC   "GLSNAP\r\n"
#define SNAPSHOT_VERSION 1u
#define BLOCK_ROWS       16384u
#define ZSTD_LEVEL       1
#define PATH_BYTES       512

/* Integers in the machine's order; only little-endian machines can map the table at all. */
struct file_header {
        char magic[8];
        uint32_t version;
        uint32_t made_sec;
        uint64_t key_check; /* secret_check() of the table's key */
        uint64_t checksum;  /* of what is before it */
};

/* Before each block; one with rows 0 ends the file. */
struct block_header {
        uint32_t rows;
        uint32_t bytes;    /* compressed */
        uint64_t total;    /* rows before this block */
        uint64_t checksum; /* of the fields before it and the compressed bytes */
};

struct row {
        uint64_t key;
        uint32_t first_sec;
        uint32_t last_pass_sec;
        uint8_t passes;
        uint8_t kind;
        uint8_t unused[6];
};
static_assert(sizeof(struct row) == 24, "no hidden padding");

/* The work space of both directions. */
struct job {
        FILE *file;
        struct row *row; /* BLOCK_ROWS */
        uint8_t *packed; /* packed_max */
        size_t packed_max;
        uint32_t rows; /* in row[] */
        uint64_t total;
        struct siphash_key key;
        struct snapshot_stats stats;
};

static uint64_t header_checksum(const struct job *job, const struct file_header *header)
{
        return siphash(&job->key, header, offsetof(struct file_header, checksum));
}

/* Keyed: a block cannot be made up without the secret. */
static uint64_t block_checksum(const struct job *job, const struct block_header *block)
{
        uint64_t parts[2];

        parts[0] = siphash(&job->key, block, offsetof(struct block_header, checksum));
        parts[1] = siphash(&job->key, job->packed, block->bytes);
        return siphash(&job->key, parts, sizeof(parts));
}

static int job_init(struct job *job, const struct grey_table *table)
{
        memset(job, 0, sizeof(*job));
        job->key = table->key;
        job->packed_max = ZSTD_compressBound(BLOCK_ROWS * sizeof(struct row));
        job->row = calloc(BLOCK_ROWS, sizeof(struct row));
        job->packed = malloc(job->packed_max);
        return job->row && job->packed ? 0 : -ENOMEM;
}

static void job_done(struct job *job)
{
        free(job->row);
        free(job->packed);
}

/* --- saving --------------------------------------------------------------------------------------------- */

static int write_bytes(struct job *job, const void *bytes, size_t len)
{
        if (fwrite(bytes, 1, len, job->file) != len)
                return errno ? -errno : -EIO;
        job->stats.bytes += len;
        return 0;
}

static int write_block(struct job *job)
{
        struct block_header block = { .rows = job->rows, .total = job->total };
        size_t packed = 0;
        int r;

        if (job->rows > 0) {
                packed = ZSTD_compress(job->packed, job->packed_max, job->row, job->rows * sizeof(struct row),
                                       ZSTD_LEVEL);
                if (ZSTD_isError(packed))
                        return -EIO;
        }
        block.bytes = (uint32_t)packed;
        block.checksum = block_checksum(job, &block);
        r = write_bytes(job, &block, sizeof(block));
        if (r == 0)
                r = write_bytes(job, job->packed, packed);
        job->total += job->rows;
        job->rows = 0;
        return r;
}

static int write_table(struct job *job, const struct grey_table *table, const struct grey_params *params,
                       uint32_t now_sec)
{
        struct grey_row found[GREY_BUCKET_ENTRIES];
        uint32_t wait_sec;
        int r = 0;

        for (uint64_t bucket = 0; bucket < table->buckets && r == 0; bucket++) {
                unsigned n = grey_table_read_bucket(table, bucket, found);

                for (unsigned i = 0; i < n; i++) {
                        const struct grey_facts *facts = &found[i].facts;
                        enum grey_verdict verdict = grey_judge(facts, params, now_sec, &wait_sec);

                        /* What counts as never seen, or would start again, is of no use to anybody. */
                        if (verdict == GREY_NEW || verdict == GREY_RESTART) {
                                job->stats.dead++;
                                continue;
                        }
                        job->row[job->rows++] =
                            (struct row){ found[i].key,  facts->first_sec, facts->last_pass_sec,
                                          facts->passes, facts->kind,      { 0 } };
                        job->stats.entries++;
                }
                if (job->rows > BLOCK_ROWS - GREY_BUCKET_ENTRIES)
                        r = write_block(job);
        }
        if (r == 0 && job->rows > 0)
                r = write_block(job);
        return r == 0 ? write_block(job) : r; /* the empty block at the end */
}

/* A file is only safe when its directory entry is, too. */
static int sync_directory(const char *path)
{
        const char *slash = strrchr(path, '/');
        char dir[PATH_BYTES];
        int fd, r = 0;

        snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fsync(fd) < 0)
                r = -errno;
        close(fd);
        return r;
}

static int save_to(struct job *job, const char *new_path, const struct grey_table *table,
                   const struct grey_params *params, uint32_t now_sec)
{
        struct file_header header = { .magic = SNAPSHOT_MAGIC,
                                      .version = SNAPSHOT_VERSION,
                                      .made_sec = now_sec,
                                      .key_check = secret_check(&table->key) };
        int fd, r;

        unlink(new_path);
        fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        if (fd < 0)
                return -errno;
        job->file = fdopen(fd, "w");
        if (!job->file) {
                close(fd);
                return -ENOMEM;
        }
        errno = 0;
        header.checksum = header_checksum(job, &header);
        job->stats.made_sec = now_sec;
        r = write_bytes(job, &header, sizeof(header));
        if (r == 0)
                r = write_table(job, table, params, now_sec);
        if (r == 0 && (fflush(job->file) != 0 || fsync(fd) < 0))
                r = -errno;
        if (fclose(job->file) != 0 && r == 0)
                r = -errno;
        return r;
}

int snapshot_save(const struct grey_table *table, const char *path, const struct grey_params *params,
                  uint32_t now_sec, struct snapshot_stats *ret)
{
        char new_path[PATH_BYTES];
        struct job job;
        int r;

        memset(ret, 0, sizeof(*ret));
        if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
                return -ENAMETOOLONG;
        r = job_init(&job, table);
        if (r == 0)
                r = save_to(&job, new_path, table, params, now_sec);
        if (r == 0 && rename(new_path, path) < 0)
                r = -errno;
        if (r == 0)
                r = sync_directory(path);
        else
                unlink(new_path);
        *ret = job.stats;
        job_done(&job);
        return r;
}

/* --- loading -------------------------------------------------------------------------------------------- */

static int read_bytes(struct job *job, void *bytes, size_t len)
{
        if (fread(bytes, 1, len, job->file) != len)
                return ferror(job->file) ? -EIO : -EBADMSG;
        job->stats.bytes += len;
        return 0;
}

static int read_file_header(struct job *job)
{
        struct file_header header;
        int r = read_bytes(job, &header, sizeof(header));

        if (r < 0)
                return r;
        if (memcmp(header.magic, SNAPSHOT_MAGIC, sizeof(header.magic)) != 0 ||
            header.version != SNAPSHOT_VERSION)
                return -EBADMSG;
        if (header.key_check != secret_check(&job->key))
                return -EKEYREJECTED;
        if (header.checksum != header_checksum(job, &header))
                return -EBADMSG;
        job->stats.made_sec = header.made_sec;
        return 0;
}

static void take_rows(struct job *job, struct grey_table *table, const struct grey_params *params,
                      uint32_t now_sec)
{
        for (uint32_t i = 0; i < job->rows; i++) {
                const struct row *row = &job->row[i];
                struct grey_facts facts = { row->first_sec, row->last_pass_sec, row->passes, row->kind };
                enum grey_verdict verdict;
                uint32_t wait_sec;

                if (row->key == 0 || merge_check(&facts, now_sec) != MERGE_OK) {
                        job->stats.refused++;
                        continue;
                }
                verdict = grey_judge(&facts, params, now_sec, &wait_sec);
                if (verdict == GREY_NEW || verdict == GREY_RESTART)
                        job->stats.dead++;
                else if (grey_table_merge(table, row->key, &facts, params, now_sec) == GREY_RECORD_FULL)
                        job->stats.no_room++;
                else
                        job->stats.entries++;
        }
}

/* One block into row[]. Returns 1, 0 at the end of the file, -EBADMSG for a damaged one. */
static int read_block(struct job *job)
{
        struct block_header block;
        size_t unpacked;
        int r = read_bytes(job, &block, sizeof(block));

        if (r < 0)
                return r;
        if (block.rows > BLOCK_ROWS || block.bytes > job->packed_max || block.total != job->total)
                return -EBADMSG;
        r = read_bytes(job, job->packed, block.bytes);
        if (r < 0)
                return r;
        if (block.checksum != block_checksum(job, &block))
                return -EBADMSG;
        if (block.rows == 0)
                return 0;
        unpacked = ZSTD_decompress(job->row, BLOCK_ROWS * sizeof(struct row), job->packed, block.bytes);
        if (ZSTD_isError(unpacked) || unpacked != block.rows * sizeof(struct row))
                return -EBADMSG;
        job->rows = block.rows;
        job->total += block.rows;
        return 1;
}

int snapshot_load(struct grey_table *table, const char *path, const struct grey_params *params,
                  uint32_t now_sec, struct snapshot_stats *ret)
{
        struct job job;
        int r;

        memset(ret, 0, sizeof(*ret));
        r = job_init(&job, table);
        if (r == 0) {
                job.file = fopen(path, "re");
                if (!job.file)
                        r = -errno;
        }
        if (r == 0)
                r = read_file_header(&job);
        if (r == 0) {
                while ((r = read_block(&job)) > 0)
                        take_rows(&job, table, params, now_sec);
        }
        if (job.file)
                fclose(job.file);
        *ret = job.stats;
        job_done(&job);
        return r;
}
