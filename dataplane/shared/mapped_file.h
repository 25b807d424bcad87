/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of fixed size that several processes map: made by whoever comes first, never resized. All of it is
 * allocated, populated and locked before it is used, since a sparse file is a SIGBUS later. The directory may
 * be on tmpfs or hugetlbfs.
 */
#ifndef GREYLINE_SHARED_MAPPED_FILE_H
#define GREYLINE_SHARED_MAPPED_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"

#define MAPPED_HEADER_BYTES 4096u /* the file's own data begins here */

/* The start of the file. Written once, by its maker; the checksum covers what is before it. */
struct mapped_header {
        uint32_t magic;     /* which table */
        uint32_t version;   /* of its layout */
        uint64_t count;     /* the table's own measure (buckets, sets) */
        uint64_t bytes;     /* used of the file, this header included */
        uint64_t key_check; /* secret_check() of the table's key */
        uint64_t checksum;
};

struct mapped_file {
        struct mapped_header *memory;
        size_t bytes;
        struct mapped_header
            head; /* as it was checked: what others write into the file later does not count */
};

/*
 * Map the file at path. want says what it must be; its count and bytes are used when it has to be made. It is
 * made (all zero behind the header) when there is none, or when the one that is there has another magic or
 * version, a damaged header, or fewer bytes than that says: such a file is put out of the name, and processes
 * that still map it keep their memory. Makers exclude each other by a lock on the file "lock" beside it.
 * key_may_differ  another key_check is a reason to replace the file, not to refuse it
 * ret_made        may be NULL
 * May block. Returns 0, -EKEYREJECTED for another key_check, or another negative errno.
 */
int mapped_file_open(struct mapped_file *file, const char *path, const struct mapped_header *want,
                     bool key_may_differ, bool *ret_made) MUST_CHECK;

void mapped_file_close(struct mapped_file *file);

#endif
