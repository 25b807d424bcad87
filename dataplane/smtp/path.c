/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/smtp/path.h"

#include <string.h>

#include "dataplane/shared/addr.h"
#include "dataplane/smtp/ascii.h"

/* What is left of the text, and how to read on in it. */
struct reader {
        const char *at;
        const char *end;
};

static char peek(const struct reader *r)
{
        return r->at < r->end ? *r->at : '\0';
}

static bool skip(struct reader *r, char c)
{
        if (peek(r) != c || r->at == r->end)
                return false;
        r->at++;
        return true;
}

/* One label, or several with dots between them. Letters, digits, hyphens inside, and the underscore. */
static enum smtp_path_verdict parse_host(const char *text, size_t len, char *ret, size_t *ret_len)
{
        size_t label = 0;

        for (size_t i = 0; i < len; i++) {
                char c = ascii_lower(text[i]);

                if (ascii_is_8bit(c))
                        return SMTP_PATH_NON_ASCII;
                if (c == '.') {
                        if (label == 0 || text[i - 1] == '-')
                                return SMTP_PATH_BAD;
                        label = 0;
                } else if (ascii_is_alnum(c) || c == '_' || (c == '-' && label > 0)) {
                        if (++label > SMTP_LABEL_MAX)
                                return SMTP_PATH_TOO_LONG;
                } else {
                        return SMTP_PATH_BAD;
                }
                ret[i] = c;
        }
        if (label == 0 || text[len - 1] == '-')
                return SMTP_PATH_BAD;
        ret[len] = '\0';
        *ret_len = len;
        return SMTP_PATH_OK;
}

/*
 * General-address-literal = Standardized-tag ":" 1*dcontent. No tag but IPv6 was ever registered, so what
 * comes here names no host that we could know; it is passed on as it stands, but for its case.
 */
static bool is_general_literal(const char *text, size_t len)
{
        const char *colon = memchr(text, ':', len);
        size_t tag_len;

        if (!colon || colon == text || colon + 1 == text + len || colon[-1] == '-')
                return false;
        tag_len = (size_t)(colon - text);
        for (size_t i = 0; i < len; i++)
                if (i < tag_len
                        ? !(ascii_is_alnum(text[i]) || text[i] == '-')
                        : !ascii_is_print(text[i]) || text[i] == ' ' || strchr("[\\]", text[i]) != NULL)
                        return false;
        return true;
}

/* What stands between the brackets of an address literal (4.1.3). */
static enum smtp_path_verdict parse_literal(const char *text, size_t len, char *ret, size_t *ret_len)
{
        const char *tag = "";
        char copy[ADDR_TEXT_MAX];
        struct addr addr;
        size_t out = 0;

        if (len > 5 && ascii_is_word(text, 5, "ipv6:")) {
                tag = "IPv6:";
                text += 5;
                len -= 5;
                if (len >= sizeof(copy) || !memchr(text, ':', len))
                        return SMTP_PATH_BAD;
        } else if (memchr(text, ':', len)) {
                if (!is_general_literal(text, len))
                        return SMTP_PATH_BAD;
                goto write;
        } else if (len >= sizeof(copy)) {
                return SMTP_PATH_BAD;
        }
        /* A NUL inside would cut the copy short, and the rest would go unread. */
        if (memchr(text, '\0', len))
                return SMTP_PATH_BAD;
        memcpy(copy, text, len);
        copy[len] = '\0';
        if (addr_parse(copy, &addr) < 0)
                return SMTP_PATH_BAD;
write:
        ret[out++] = '[';
        memcpy(ret + out, tag, strlen(tag));
        out += strlen(tag);
        for (size_t i = 0; i < len; i++)
                ret[out++] = ascii_lower(text[i]);
        ret[out++] = ']';
        ret[out] = '\0';
        *ret_len = out;
        return SMTP_PATH_OK;
}

enum smtp_path_verdict smtp_domain_parse(const char *text, size_t len, char *ret, size_t *ret_len)
{
        char domain[SMTP_DOMAIN_MAX + 1];
        size_t domain_len = 0;
        enum smtp_path_verdict verdict;

        if (len == 0)
                return SMTP_PATH_BAD;
        if (len > SMTP_DOMAIN_MAX)
                return SMTP_PATH_TOO_LONG;
        if (text[0] == '[')
                verdict = len > 2 && text[len - 1] == ']'
                              ? parse_literal(text + 1, len - 2, domain, &domain_len)
                              : SMTP_PATH_BAD;
        else
                verdict = parse_host(text, len, domain, &domain_len);
        if (verdict != SMTP_PATH_OK)
                return verdict;
        memcpy(ret, domain, domain_len + 1);
        *ret_len = domain_len;
        return SMTP_PATH_OK;
}

/*
 * The content of a quoted string, its escapes undone. *ret_len counts on past the room in ret
 * (SMTP_PATH_MAX), so that a string that is too long is told from one that is malformed.
 */
static enum smtp_path_verdict parse_quoted(struct reader *r, char *ret, size_t *ret_len)
{
        size_t len = 0;

        r->at++;
        while (r->at < r->end && *r->at != '"') {
                if (*r->at == '\\' && ++r->at == r->end)
                        return SMTP_PATH_BAD;
                if (ascii_is_8bit(*r->at))
                        return SMTP_PATH_NON_ASCII;
                /* quoted-pairSMTP and qtextSMTP: 32 to 126. */
                if (!ascii_is_print(*r->at))
                        return SMTP_PATH_BAD;
                if (len < SMTP_PATH_MAX)
                        ret[len] = *r->at;
                len++;
                r->at++;
        }
        if (!skip(r, '"'))
                return SMTP_PATH_BAD;
        *ret_len = len;
        return SMTP_PATH_OK;
}

/* Dot-string = Atom *("." Atom) */
static bool is_dot_string(const char *text, size_t len)
{
        if (len == 0 || text[0] == '.' || text[len - 1] == '.')
                return false;
        for (size_t i = 0; i < len; i++)
                if (text[i] == '.' ? text[i - 1] == '.' : !ascii_is_atext(text[i]))
                        return false;
        return true;
}

static enum smtp_path_verdict parse_unquoted(struct reader *r, char *ret, size_t *ret_len)
{
        const char *start = r->at;
        size_t len;

        while (r->at < r->end && (ascii_is_atext(*r->at) || *r->at == '.'))
                r->at++;
        if (r->at < r->end && ascii_is_8bit(*r->at))
                return SMTP_PATH_NON_ASCII;
        len = (size_t)(r->at - start);
        if (!is_dot_string(start, len))
                return SMTP_PATH_BAD;
        memcpy(ret, start, MIN(len, (size_t)SMTP_PATH_MAX));
        *ret_len = len;
        return SMTP_PATH_OK;
}

/* Put the local part into the path, quoted only where it must be. */
static enum smtp_path_verdict write_local(struct smtp_path *path, const char *local, size_t len)
{
        char *out = path->text;
        size_t written = len + 2;

        for (size_t i = 0; i < len; i++) {
                if (strchr("@%!", local[i]))
                        path->flags |= SMTP_PATH_ROUTED;
                if (local[i] == '"' || local[i] == '\\')
                        written++;
        }
        if (written > SMTP_PATH_MAX)
                return SMTP_PATH_TOO_LONG;
        if (is_dot_string(local, len)) {
                memcpy(out, local, len);
                out += len;
        } else {
                path->flags |= SMTP_PATH_QUOTED;
                *out++ = '"';
                for (size_t i = 0; i < len; i++) {
                        if (local[i] == '"' || local[i] == '\\')
                                *out++ = '\\';
                        *out++ = local[i];
                }
                *out++ = '"';
        }
        *out = '\0';
        path->local_len = (uint16_t)(out - path->text);
        path->len = path->local_len;
        return SMTP_PATH_OK;
}

/* A-d-l ":" : read over it (4.1.1.3: "SHOULD strip off the source route"). */
static enum smtp_path_verdict skip_source_route(struct reader *r, struct smtp_path *path)
{
        char domain[SMTP_DOMAIN_MAX + 1];
        size_t domain_len;

        if (peek(r) != '@')
                return SMTP_PATH_OK;
        do {
                const char *start;
                enum smtp_path_verdict verdict;

                if (!skip(r, '@'))
                        return SMTP_PATH_BAD;
                start = r->at;
                while (r->at < r->end && strchr(",:>", *r->at) == NULL)
                        r->at++;
                verdict = smtp_domain_parse(start, (size_t)(r->at - start), domain, &domain_len);
                if (verdict != SMTP_PATH_OK)
                        return verdict;
        } while (skip(r, ','));
        if (!skip(r, ':'))
                return SMTP_PATH_BAD;
        path->flags |= SMTP_PATH_SOURCE;
        return SMTP_PATH_OK;
}

/* "@" Domain, or "@" address-literal, up to the closing bracket. */
static enum smtp_path_verdict parse_domain(struct reader *r, struct smtp_path *path)
{
        const char *start;
        size_t domain_len;
        char domain[SMTP_DOMAIN_MAX + 1];
        enum smtp_path_verdict verdict;

        start = r->at;
        while (r->at < r->end && *r->at != '>')
                r->at++;
        verdict = smtp_domain_parse(start, (size_t)(r->at - start), domain, &domain_len);
        if (verdict != SMTP_PATH_OK)
                return verdict;
        if (path->local_len + 1 + domain_len + 2 > SMTP_PATH_MAX)
                return SMTP_PATH_TOO_LONG;
        path->text[path->local_len] = '@';
        memcpy(path->text + path->local_len + 1, domain, domain_len + 1);
        path->domain_len = (uint16_t)domain_len;
        path->len = (uint16_t)(path->local_len + 1 + domain_len);
        if (domain[0] == '[')
                path->flags |= SMTP_PATH_LITERAL;
        return SMTP_PATH_OK;
}

static enum smtp_path_verdict parse_mailbox(struct reader *r, unsigned int may_be, struct smtp_path *path)
{
        size_t local_max = (may_be & SMTP_PATH_MAY_BE_LONG) ? SMTP_PATH_MAX : SMTP_LOCAL_MAX;
        char local[SMTP_PATH_MAX];
        size_t local_len = 0;
        enum smtp_path_verdict verdict;

        verdict = peek(r) == '"' ? parse_quoted(r, local, &local_len) : parse_unquoted(r, local, &local_len);
        if (verdict != SMTP_PATH_OK)
                return verdict;
        if (local_len > local_max)
                return SMTP_PATH_TOO_LONG;
        verdict = write_local(path, local, local_len);
        if (verdict != SMTP_PATH_OK)
                return verdict;
        if (skip(r, '@'))
                return parse_domain(r, path);
        if ((may_be & SMTP_PATH_MAY_BE_POSTMASTER) &&
            ascii_is_word(path->text, path->local_len, "postmaster"))
                return SMTP_PATH_OK;
        return SMTP_PATH_BAD;
}

enum smtp_path_verdict smtp_path_parse(const char *text, size_t len, unsigned int may_be,
                                       struct smtp_path *ret, size_t *ret_used)
{
        struct reader r = { text, text + len };
        struct smtp_path path;
        enum smtp_path_verdict verdict;

        path.len = path.local_len = path.domain_len = 0;
        path.flags = path.unused = 0;
        path.text[0] = '\0';
        if (!skip(&r, '<'))
                return SMTP_PATH_BAD;
        if (!((may_be & SMTP_PATH_MAY_BE_NULL) && peek(&r) == '>')) {
                verdict = skip_source_route(&r, &path);
                if (verdict == SMTP_PATH_OK)
                        verdict = parse_mailbox(&r, may_be, &path);
                if (verdict != SMTP_PATH_OK)
                        return verdict;
        }
        if (!skip(&r, '>'))
                return SMTP_PATH_BAD;
        /* The limit is on the path as it was given, brackets and source route included (4.5.3.1.3). */
        if ((size_t)(r.at - text) > SMTP_PATH_MAX)
                return SMTP_PATH_TOO_LONG;
        /* Only what is set: text is long and its tail means nothing. */
        memcpy(ret, &path, offsetof(struct smtp_path, text) + path.len + 1u);
        *ret_used = (size_t)(r.at - text);
        return SMTP_PATH_OK;
}
