/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/smtp/ext.h"

#include <strings.h>

#include "dataplane/shared/bug.h"

/* A name and its bit. */
struct word {
        const char *name;
        uint32_t bit;
};

static const struct word keywords[] = {
        { "PIPELINING", SMTP_EXT_PIPELINING },
        { "SIZE", SMTP_EXT_SIZE },
        { "8BITMIME", SMTP_EXT_8BITMIME },
        { "ENHANCEDSTATUSCODES", SMTP_EXT_ENHANCEDSTATUSCODES },
        { "STARTTLS", SMTP_EXT_STARTTLS },
        { "SMTPUTF8", SMTP_EXT_SMTPUTF8 },
        { "DSN", SMTP_EXT_DSN },
        { "CHUNKING", SMTP_EXT_CHUNKING },
        { "XCLIENT", SMTP_EXT_XCLIENT },
};

static const struct word attributes[] = {
        { "NAME", SMTP_XCLIENT_NAME },         { "ADDR", SMTP_XCLIENT_ADDR },
        { "PORT", SMTP_XCLIENT_PORT },         { "PROTO", SMTP_XCLIENT_PROTO },
        { "HELO", SMTP_XCLIENT_HELO },         { "LOGIN", SMTP_XCLIENT_LOGIN },
        { "DESTADDR", SMTP_XCLIENT_DESTADDR }, { "DESTPORT", SMTP_XCLIENT_DESTPORT },
};

static uint32_t lookup(const struct word *words, size_t n, const char *name, size_t len)
{
        for (size_t i = 0; i < n; i++)
                if (strncasecmp(words[i].name, name, len) == 0 && words[i].name[len] == '\0')
                        return words[i].bit;
        return 0;
}

const char *smtp_ext_name(enum smtp_ext ext)
{
        for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
                if (keywords[i].bit == (uint32_t)ext)
                        return keywords[i].name;
        return NULL;
}

uint32_t smtp_ext_lookup(const char *name, size_t len)
{
        return lookup(keywords, ARRAY_LEN(keywords), name, len);
}

uint32_t smtp_xclient_lookup(const char *name, size_t len)
{
        return lookup(attributes, ARRAY_LEN(attributes), name, len);
}
