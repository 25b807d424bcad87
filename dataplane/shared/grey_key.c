/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/grey_key.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "dataplane/shared/bug.h"

enum {
        /* Never in an entry: what kind of key was hashed, so that a network cannot pose as a pool. */
        HASHED_NETWORK = 1,
        HASHED_POOL,
        HASHED_EXEMPT,
        HASHED_DOMAIN,
};

struct text {
        const char *at;
        size_t len;
};

static struct text after(struct text whole, size_t skip)
{
        return (struct text){ whole.at + skip, whole.len - skip };
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool has_prefix(struct text text, const char *prefix)
{
        size_t len = strlen(prefix);

        return text.len >= len && strncasecmp(text.at, prefix, len) == 0;
}

static size_t find(struct text text, char c)
{
        const char *hit = memchr(text.at, c, text.len);

        return hit ? (size_t)(hit - text.at) : text.len;
}

static size_t append_lower(char *to, size_t len, struct text text)
{
        for (size_t i = 0; i < text.len; i++)
                to[len + i] = (char)(text.at[i] >= 'A' && text.at[i] <= 'Z' ? text.at[i] | 0x20 : text.at[i]);
        return len + text.len;
}

/* A BATV tag: key number, three digits of a day, six hex digits (draft-levine-smtp-batv, "prvs"). */
static bool is_batv_tag(struct text text)
{
        if (text.len != 10)
                return false;
        for (size_t i = 0; i < text.len; i++) {
                if (i < 4 ? !is_digit(text.at[i]) : !is_hex(text.at[i]))
                        return false;
        }
        return true;
}

/* prvs=TAG=local, and prvs=local=TAG of older senders. */
static struct text strip_batv(struct text local)
{
        struct text rest, first;
        size_t equal;

        if (!has_prefix(local, "prvs="))
                return local;
        rest = after(local, 5);
        equal = find(rest, '=');
        if (equal == rest.len)
                return local;
        first = (struct text){ rest.at, equal };
        if (is_batv_tag(first))
                return after(rest, equal + 1);
        if (is_batv_tag(after(rest, equal + 1)))
                return first;
        return local;
}

/* Cut at the first "+": the extension names a folder or a list, not another correspondent. */
static struct text strip_extension(struct text local)
{
        size_t plus = local.len > 1 ? 1 + find(after(local, 1), '+') : local.len;

        return (struct text){ local.at, MIN(plus, local.len) };
}

/* A word that counts: all digits, or eight or more hex digits with a digit among them. */
static bool is_counter(struct text word)
{
        size_t digits = 0, hex = 0;

        for (size_t i = 0; i < word.len; i++) {
                digits += is_digit(word.at[i]);
                hex += is_hex(word.at[i]);
        }
        return digits == word.len || (word.len >= 8 && hex == word.len && digits > 0);
}

static size_t word_len(struct text text)
{
        size_t len = 0;

        while (len < text.len && (is_digit(text.at[len]) || is_letter(text.at[len])))
                len++;
        return len;
}

/*
 * Write local with every counting word as "#": VERP and bounce addresses number their messages. Where no
 * other word is left it stays as it is: 12345@example.org is a mailbox.
 */
static size_t append_counted(char *to, size_t len, struct text local)
{
        size_t start = len;
        bool named = false;

        for (size_t at = 0; at < local.len;) {
                struct text word = { local.at + at, word_len(after(local, at)) };

                if (word.len == 0) {
                        to[len++] = local.at[at++];
                        continue;
                }
                at += word.len;
                if (is_counter(word)) {
                        to[len++] = '#';
                        continue;
                }
                named = true;
                memcpy(to + len, word.at, word.len);
                len += word.len;
        }
        if (named)
                return len;
        memcpy(to + start, local.at, local.len);
        return start + local.len;
}

/* Skip n fields that end in '='; false when there are not so many. */
static bool skip_fields(struct text *text, unsigned n)
{
        while (n-- > 0) {
                size_t equal = find(*text, '=');

                if (equal == text->len)
                        return false;
                *text = after(*text, equal + 1);
        }
        return true;
}

/*
 * SRS0=hash=time=domain=local and SRS1=hash=forwarder==hash=time=domain=local: hash and time change from day
 * to day, the rest names the sender. Returns 0 where it is no SRS address.
 */
static size_t append_srs(char *to, struct text local)
{
        struct text rest = local;
        size_t len, equal;

        if (local.len < 5 || strncasecmp(local.at, "SRS", 3) != 0 || !memchr("=+-", local.at[4], 3) ||
            (local.at[3] != '0' && local.at[3] != '1'))
                return 0;
        len = append_lower(to, 0, (struct text){ local.at, 4 });
        to[len++] = '=';
        rest = after(local, 5);
        if (local.at[3] == '1') {
                if (!skip_fields(&rest, 1))
                        return 0;
                equal = find(rest, '=');
                len = append_lower(to, len, (struct text){ rest.at, equal });
                rest = after(rest, equal);
                if (rest.len < 2 || !memchr("=+-", rest.at[1], 3))
                        return 0;
                to[len++] = '=';
                to[len++] = '=';
                rest = after(rest, 2);
        }
        if (!skip_fields(&rest, 2))
                return 0;
        equal = find(rest, '=');
        if (equal == rest.len)
                return 0;
        len = append_lower(to, len, (struct text){ rest.at, equal + 1 });
        return append_counted(to, len, strip_extension(after(rest, equal + 1)));
}

static void split(struct text path, struct text *ret_local, struct text *ret_domain)
{
        const char *last = path.len ? memrchr(path.at, '@', path.len) : NULL;
        size_t at = last ? (size_t)(last - path.at) : path.len;

        *ret_local = (struct text){ path.at, at };
        *ret_domain = after(path, at);
        if (ret_domain->len > 1 && ret_domain->at[ret_domain->len - 1] == '.')
                ret_domain->len--;
}

size_t grey_key_sender(const char *path, size_t len, char ret[GREY_PATH_MAX])
{
        struct text local, domain;
        size_t used;

        if (len == 0) /* the null sender is a sender like any other */
                return 0;
        split((struct text){ path, MIN(len, GREY_PATH_MAX) }, &local, &domain);
        used = append_srs(ret, local);
        if (used == 0)
                used = append_counted(ret, 0, strip_extension(strip_batv(local)));
        return append_lower(ret, used, domain);
}

size_t grey_key_recipient(const char *path, size_t len, char ret[GREY_PATH_MAX])
{
        struct text local, domain;

        if (len == 0)
                return 0;
        split((struct text){ path, MIN(len, GREY_PATH_MAX) }, &local, &domain);
        if (domain.len == 0) /* RFC 5321 4.5.1: <postmaster> alone, in any case */
                return append_lower(ret, 0, local);
        local = strip_extension(local);
        memcpy(ret, local.at, local.len);
        return append_lower(ret, local.len, domain);
}

static uint64_t never_zero(uint64_t hash)
{
        return hash ? hash : 1;
}

/* Lengths are hashed with the texts, so that "a","bc" and "ab","c" are not one key. */
static uint64_t hash_triplet(const struct siphash_key *key, uint8_t what, const void *source,
                             size_t source_len, struct text sender, struct text recipient)
{
        char message[1 + 16 + 2 * (2 + GREY_PATH_MAX)];
        size_t len = 0, part;

        message[len++] = (char)what;
        memcpy(message + len, source, source_len);
        len += source_len;
        part = grey_key_sender(sender.at, sender.len, message + len + 2);
        message[len++] = (char)(part >> 8);
        message[len++] = (char)part;
        len += part;
        part = grey_key_recipient(recipient.at, recipient.len, message + len + 2);
        message[len++] = (char)(part >> 8);
        message[len++] = (char)part;
        len += part;
        return never_zero(siphash(key, message, len));
}

uint64_t grey_key_network(const struct siphash_key *key, const struct addr *network, const char *sender,
                          size_t sender_len, const char *recipient, size_t recipient_len)
{
        return hash_triplet(key, HASHED_NETWORK, network->bytes, sizeof(network->bytes),
                            (struct text){ sender, sender_len }, (struct text){ recipient, recipient_len });
}

uint64_t grey_key_pool(const struct siphash_key *key, uint64_t pool, const char *sender, size_t sender_len,
                       const char *recipient, size_t recipient_len)
{
        return hash_triplet(key, HASHED_POOL, &pool, sizeof(pool), (struct text){ sender, sender_len },
                            (struct text){ recipient, recipient_len });
}

uint64_t grey_key_exempt(const struct siphash_key *key, const struct addr *network)
{
        uint8_t message[17] = { HASHED_EXEMPT };

        memcpy(message + 1, network->bytes, sizeof(network->bytes));
        return never_zero(siphash(key, message, sizeof(message)));
}

uint64_t grey_key_pool_domain(const struct siphash_key *key, const char *domain, size_t len)
{
        char message[1 + 255] = { HASHED_DOMAIN };
        struct text name = { domain, MIN(len, 255) };

        if (name.len > 1 && name.at[name.len - 1] == '.')
                name.len--;
        return never_zero(siphash(key, message, append_lower(message, 1, name)));
}
