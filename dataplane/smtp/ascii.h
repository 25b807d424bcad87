/* SPDX-License-Identifier: Apache-2.0 */
/* Character classes of SMTP: plain ASCII, whatever the locale says. */
#ifndef GREYLINE_SMTP_ASCII_H
#define GREYLINE_SMTP_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline bool ascii_is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static inline char ascii_lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool ascii_is_alpha(char c)
{
        return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

static inline bool ascii_is_alnum(char c)
{
        return ascii_is_alpha(c) || ascii_is_digit(c);
}

/* Printable, the space included. */
static inline bool ascii_is_print(char c)
{
        return c >= ' ' && c <= '~';
}

static inline bool ascii_is_control(char c)
{
        return (unsigned char)c < ' ' || c == 0x7f;
}

static inline bool ascii_is_8bit(char c)
{
        return ((unsigned char)c & 0x80u) != 0;
}

/* atext of RFC 5322 3.2.3. */
static inline bool ascii_is_atext(char c)
{
        return ascii_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* True when len octets of text are word, in any case; word is in lower case. */
static inline bool ascii_is_word(const char *text, size_t len, const char *word)
{
        for (size_t i = 0; i < len; i++)
                if (word[i] == '\0' || ascii_lower(text[i]) != word[i])
                        return false;
        return word[len] == '\0';
}

#endif
