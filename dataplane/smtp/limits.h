/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit of the SMTP parts, with its section of RFC 5321 unless it says otherwise. Octets, CR LF included. */
#ifndef GREYLINE_SMTP_LIMITS_H
#define GREYLINE_SMTP_LIMITS_H

enum {
        SMTP_LOCAL_MAX = 64,    /* 4.5.3.1.1 */
        SMTP_DOMAIN_MAX = 255,  /* 4.5.3.1.2 */
        SMTP_LABEL_MAX = 63,    /* RFC 1035, 2.3.4 */
        SMTP_PATH_MAX = 256,    /* 4.5.3.1.3, with its punctuation: the angle brackets count */
        SMTP_COMMAND_MAX = 512, /* 4.5.3.1.4 */
        SMTP_SIZE_EXTRA = 26,   /* RFC 1870, 3 (4): a MAIL line may be longer by this */
        SMTP_BODY_EXTRA = 17,   /* RFC 6152, 2 (5): and by this */
        SMTP_LINE_MAX = SMTP_COMMAND_MAX + SMTP_SIZE_EXTRA + SMTP_BODY_EXTRA, /* the longest line of all */
        SMTP_REPLY_LINE_MAX = 512,                                            /* 4.5.3.1.5 */
        SMTP_TEXT_LINE_MAX = 998,  /* 4.5.3.1.6, here without CR LF */
        SMTP_RCPT_MAX = 100,       /* 4.5.3.1.8: the least that a server must take */
        SMTP_RECEIVED_MAX = 100,   /* 6.3: "normally at least 100 Received entries" */
        SMTP_SIZE_DIGITS_MAX = 20, /* RFC 1870, 3: size-value = 1*20DIGIT */
        SMTP_ERRORS_MAX = 10,      /* ours: protocol errors in a session before 421 */
        SMTP_IDLE_COMMANDS_MAX =
            100, /* ours: commands since the last message that move nothing (NOOP, RSET) */
        SMTP_RCPT_OVERSHOOT_MAX =
            1000,                    /* ours: refused RCPT of one message before each one is an error too */
        SMTP_DISCARD_MAX = 16384,    /* ours: octets of one overlong line that are thrown away before 421 */
        SMTP_ANSWER_LINE_MAX = 2048, /* ours: a reply line of a backend may be longer than the RFC says */
        SMTP_ANSWER_LINES_MAX = 100, /* ours: lines of one reply of a backend */
};

#endif
