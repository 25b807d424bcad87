/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a greylist entry: a keyed hash of who sends from where to whom. The hash is all that the
 * table, the snapshot and the other nodes ever see, so no address or mailbox leaves the node in clear.
 *
 * Before hashing, an address loses what changes between two tries of one message or between two messages of
 * one correspondence: the case of the domain, BATV and SRS wrappings, digits of a VERP counter, +extensions.
 * docs/STATE.md lists the rules. A design refused: hashing the sender's address as sent, since a sender whose
 * address carries a time stamp would then never pass.
 */
#ifndef GREYLINE_SHARED_GREY_KEY_H
#define GREYLINE_SHARED_GREY_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/siphash.h"

#define GREY_PATH_MAX 320 /* bytes of an address that count; SMTP allows 256 (RFC 5321 4.5.3.1.3) */

/*
 * Write the normal form of a sender ("" for the null sender) or a recipient, without brackets, to ret.
 * path is the peer's: any bytes. At most GREY_PATH_MAX bytes are read and written; no NUL is added.
 * Returns the length. Safe on a worker.
 */
size_t grey_key_sender(const char *path, size_t len, char ret[GREY_PATH_MAX]);
size_t grey_key_recipient(const char *path, size_t len, char ret[GREY_PATH_MAX]);

/*
 * Keys of the three kinds of entry (grey_table.h). sender and recipient are as the client gave them; these
 * functions bring them to normal form. Never 0. Safe on a worker.
 * network       the client's address after addr_network() with the policy's prefix lengths
 * pool          of grey_key_pool_domain()
 */
uint64_t grey_key_network(const struct siphash_key *key, const struct addr *network, const char *sender,
                          size_t sender_len, const char *recipient, size_t recipient_len);
uint64_t grey_key_pool(const struct siphash_key *key, uint64_t pool, const char *sender, size_t sender_len,
                       const char *recipient, size_t recipient_len);
uint64_t grey_key_exempt(const struct siphash_key *key, const struct addr *network);

/* The hash of a sender pool's domain, the same on every node of a cluster; case does not count. Never 0. */
uint64_t grey_key_pool_domain(const struct siphash_key *key, const char *domain, size_t len);

#endif
