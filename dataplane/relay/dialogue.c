/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/relay/dialogue.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/shared/bug.h"

#define COMMAND_MAX 510u /* RFC 5321 4.5.3.1.4 without CR LF */

static void PRINTF(2, 3) say(struct dialogue *dialogue, const char *format, ...)
{
        size_t room = sizeof(dialogue->out) - dialogue->out_len;
        va_list args;
        int len;

        va_start(args, format);
        len = vsnprintf(dialogue->out + dialogue->out_len, room, format, args);
        va_end(args);
        BUG_ON(len < 0 || (size_t)len >= room); /* every argument is bounded by its own limit */
        dialogue->out_len = (uint16_t)(dialogue->out_len + len);
}

static void expect(struct dialogue *dialogue, enum dialogue_step step)
{
        BUG_ON(dialogue->expects == DIALOGUE_EXPECTS_MAX);
        dialogue->expect[dialogue->expects++] = (uint8_t)step;
}

static enum dialogue_step take_expected(struct dialogue *dialogue)
{
        enum dialogue_step step = (enum dialogue_step)dialogue->expect[0];

        if (dialogue->expects == 0)
                return DIALOGUE_STEP_NONE;
        dialogue->expects--;
        memmove(dialogue->expect, dialogue->expect + 1, dialogue->expects);
        return step;
}

/* --- the PROXY header -------------------------------------------------------------------------------------- */

static void put(struct dialogue *dialogue, const void *bytes, size_t len)
{
        memcpy(dialogue->out + dialogue->out_len, bytes, len);
        dialogue->out_len = (uint16_t)(dialogue->out_len + len);
}

static void put_u16(struct dialogue *dialogue, uint16_t value)
{
        uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

        put(dialogue, bytes, sizeof(bytes));
}

static void say_proxy_header(struct dialogue *dialogue, const struct dialogue_identity *identity)
{
        static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                               0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };
        bool is_v4 = addr_is_v4(&identity->client) && addr_is_v4(&identity->front);
        uint8_t command_family[2] = { 0x21, is_v4 ? 0x11 : 0x21 }; /* version 2, PROXY; TCP over IPv4 or IPv6 */
        size_t skip = is_v4 ? 12 : 0;

        put(dialogue, signature, sizeof(signature));
        put(dialogue, command_family, sizeof(command_family));
        put_u16(dialogue, is_v4 ? 12 : 36);
        put(dialogue, identity->client.bytes + skip, 16 - skip);
        put(dialogue, identity->front.bytes + skip, 16 - skip);
        put_u16(dialogue, identity->client_port);
        put_u16(dialogue, identity->front_port);
}

/* --- XCLIENT ------------------------------------------------------------------------------------------------- */

#define ATTRIBUTE_MAX 800u /* xtext of 255 octets, each as +XX, and a name */

/* RFC 3461 section 4: xtext. */
static void xtext(char *to, const char *from)
{
        static const char hex[] = "0123456789ABCDEF";

        for (; *from; from++) {
                uint8_t c = (uint8_t)*from;

                if (c > 32 && c < 127 && c != '+' && c != '=') {
                        *to++ = (char)c;
                        continue;
                }
                *to++ = '+';
                *to++ = hex[c >> 4];
                *to++ = hex[c & 15];
        }
        *to = '\0';
}

static void add_attribute(char *line, size_t size, const char *name, const char *value)
{
        char attribute[ATTRIBUTE_MAX];
        size_t len = strlen(line);

        snprintf(attribute, sizeof(attribute), " %s=%s", name, value);
        /* An attribute that does not fit is sent as unknown rather than left to the backend's default. */
        if (len + strlen(attribute) > size - 1)
                snprintf(attribute, sizeof(attribute), " %s=[UNAVAILABLE]", name);
        if (len + strlen(attribute) <= size - 1)
                strcat(line, attribute);
}

static void say_xclient(struct dialogue *dialogue, const struct dialogue_identity *identity)
{
        uint32_t offered = dialogue->answer.xclient;
        char line[COMMAND_MAX + 1] = "XCLIENT", text[ADDR_TEXT_MAX], value[ATTRIBUTE_MAX];

        if (offered & SMTP_XCLIENT_ADDR) {
                snprintf(value, sizeof(value), "%s%s", addr_is_v4(&identity->client) ? "" : "IPV6:",
                         addr_text(&identity->client, text));
                add_attribute(line, sizeof(line), "ADDR", value);
        }
        if (offered & SMTP_XCLIENT_PORT) {
                snprintf(value, sizeof(value), "%u", identity->client_port);
                add_attribute(line, sizeof(line), "PORT", value);
        }
        if (offered & SMTP_XCLIENT_PROTO)
                add_attribute(line, sizeof(line), "PROTO", identity->is_ehlo ? "ESMTP" : "SMTP");
        if (offered & SMTP_XCLIENT_DESTADDR) {
                snprintf(value, sizeof(value), "%s%s", addr_is_v4(&identity->front) ? "" : "IPV6:",
                         addr_text(&identity->front, text));
                add_attribute(line, sizeof(line), "DESTADDR", value);
        }
        if (offered & SMTP_XCLIENT_DESTPORT) {
                snprintf(value, sizeof(value), "%u", identity->front_port);
                add_attribute(line, sizeof(line), "DESTPORT", value);
        }
        if (offered & SMTP_XCLIENT_LOGIN)
                add_attribute(line, sizeof(line), "LOGIN", "[UNAVAILABLE]");
        if (offered & SMTP_XCLIENT_NAME) {
                xtext(value, identity->host);
                add_attribute(line, sizeof(line), "NAME", value[0] ? value : "[UNAVAILABLE]");
        }
        if (offered & SMTP_XCLIENT_HELO) {
                xtext(value, identity->helo);
                add_attribute(line, sizeof(line), "HELO", value[0] ? value : "[UNAVAILABLE]");
        }
        say(dialogue, "%s\r\n", line);
}

/* --- the opening --------------------------------------------------------------------------------------------- */

static void await_reply(struct dialogue *dialogue, enum dialogue_state state)
{
        bool is_ehlo = state == DIALOGUE_ST_EHLO || state == DIALOGUE_ST_EHLO_AGAIN;

        dialogue->state = (uint8_t)state;
        smtp_answer_init(&dialogue->answer, is_ehlo);
}

void dialogue_open(struct dialogue *dialogue, const struct dialogue_identity *identity)
{
        dialogue->expects = 0;
        dialogue->ext = 0;
        dialogue->size_max = 0;
        dialogue->out_len = 0;
        dialogue->answered = false;
        await_reply(dialogue, DIALOGUE_ST_BANNER);
        if (identity->mode == IMAGE_IDENTITY_PROXY)
                say_proxy_header(dialogue, identity);
}

bool dialogue_is_known(const struct dialogue *dialogue, enum image_identity mode)
{
        switch (mode) {
        case IMAGE_IDENTITY_XCLIENT:
                return dialogue->state == DIALOGUE_ST_EHLO_AGAIN || dialogue->state == DIALOGUE_ST_OPEN;
        case IMAGE_IDENTITY_PROXY:
                /* The banner is the first reply that can be about the client. A refused header ends without one. */
                return dialogue->state != DIALOGUE_ST_BANNER;
        default:
                return dialogue->state == DIALOGUE_ST_OPEN;
        }
}

static enum dialogue_event fail(struct dialogue *dialogue, enum dialogue_event event)
{
        /* state stays: dialogue_is_known() is asked about the place of the failure */
        dialogue->expects = 0;
        return event;
}

static enum dialogue_event opening_reply(struct dialogue *dialogue, const struct dialogue_identity *identity)
{
        const struct smtp_answer *answer = &dialogue->answer;
        bool xclient = identity->mode == IMAGE_IDENTITY_XCLIENT;

        switch ((enum dialogue_state)dialogue->state) {
        case DIALOGUE_ST_BANNER:
                if (answer->code != 220)
                        return fail(dialogue, DIALOGUE_EV_REFUSED);
                say(dialogue, "EHLO %s\r\n",
                    identity->mode == IMAGE_IDENTITY_PROXY ? identity->helo : identity->hostname);
                await_reply(dialogue, DIALOGUE_ST_EHLO);
                return DIALOGUE_EV_MORE;
        case DIALOGUE_ST_EHLO:
                if (answer->code != 250)
                        return fail(dialogue, DIALOGUE_EV_REFUSED);
                if (xclient) {
                        if ((answer->ext & SMTP_EXT_XCLIENT) == 0 || (answer->xclient & SMTP_XCLIENT_ADDR) == 0)
                                return fail(dialogue, DIALOGUE_EV_REFUSED);
                        say_xclient(dialogue, identity);
                        await_reply(dialogue, DIALOGUE_ST_XCLIENT);
                        return DIALOGUE_EV_MORE;
                }
                break;
        case DIALOGUE_ST_XCLIENT:
                if (answer->code != 220)
                        return fail(dialogue, DIALOGUE_EV_REFUSED);
                say(dialogue, "EHLO %s\r\n", identity->helo);
                await_reply(dialogue, DIALOGUE_ST_EHLO_AGAIN);
                return DIALOGUE_EV_MORE;
        default: /* EHLO_AGAIN */
                if (answer->code != 250)
                        return fail(dialogue, DIALOGUE_EV_REFUSED);
                break;
        }
        dialogue->ext = answer->ext;
        dialogue->size_max = answer->size_max;
        await_reply(dialogue, DIALOGUE_ST_OPEN);
        return DIALOGUE_EV_READY;
}

enum dialogue_event dialogue_input(struct dialogue *dialogue, const struct dialogue_identity *identity,
                                   const uint8_t *bytes, size_t len, size_t *ret_consumed,
                                   enum dialogue_step *ret_step)
{
        *ret_step = DIALOGUE_STEP_NONE;
        if (dialogue->state == DIALOGUE_ST_FAILED) {
                *ret_consumed = len;
                return DIALOGUE_EV_GARBAGE;
        }
        if (dialogue->answered) {
                smtp_answer_init(&dialogue->answer, false);
                dialogue->answered = false;
        }
        switch (smtp_answer_input(&dialogue->answer, bytes, len, ret_consumed)) {
        case SMTP_ANSWER_MORE:
                return DIALOGUE_EV_MORE;
        case SMTP_ANSWER_ERROR:
                dialogue->state = DIALOGUE_ST_FAILED;
                return DIALOGUE_EV_GARBAGE;
        case SMTP_ANSWER_DONE:
                break;
        }
        if (dialogue->state < DIALOGUE_ST_OPEN)
                return opening_reply(dialogue, identity);
        dialogue->answered = true;
        *ret_step = take_expected(dialogue);
        if (*ret_step == DIALOGUE_STEP_NONE) {
                /* A reply to nothing: often 421 before the backend closes. */
                dialogue->state = DIALOGUE_ST_FAILED;
                return DIALOGUE_EV_GARBAGE;
        }
        return DIALOGUE_EV_REPLY;
}

const char *dialogue_out(struct dialogue *dialogue, size_t *ret_len)
{
        *ret_len = dialogue->out_len;
        dialogue->out_len = 0;
        return dialogue->out;
}

bool dialogue_may_take(const struct dialogue *dialogue, bool has_size, bool has_body)
{
        return (!has_size || dialogue->ext & SMTP_EXT_SIZE) && (!has_body || dialogue->ext & SMTP_EXT_8BITMIME);
}

/* --- commands ------------------------------------------------------------------------------------------------ */

bool dialogue_mail(struct dialogue *dialogue, const struct dialogue_mail *mail, const struct smtp_path *recipient)
{
        say(dialogue, "MAIL FROM:<%s>", mail->sender->text);
        if (mail->has_size)
                say(dialogue, " SIZE=%llu", (unsigned long long)mail->size);
        if (mail->has_body)
                say(dialogue, " BODY=%s", mail->is_8bit ? "8BITMIME" : "7BIT");
        say(dialogue, "\r\n");
        expect(dialogue, DIALOGUE_STEP_MAIL);
        if ((dialogue->ext & SMTP_EXT_PIPELINING) == 0)
                return false;
        dialogue_rcpt(dialogue, recipient);
        return true;
}

void dialogue_rcpt(struct dialogue *dialogue, const struct smtp_path *recipient)
{
        say(dialogue, "RCPT TO:<%s>\r\n", recipient->text);
        expect(dialogue, DIALOGUE_STEP_RCPT);
}

void dialogue_data(struct dialogue *dialogue)
{
        say(dialogue, "DATA\r\n");
        expect(dialogue, DIALOGUE_STEP_DATA);
}

void dialogue_end(struct dialogue *dialogue)
{
        expect(dialogue, DIALOGUE_STEP_END);
}

void dialogue_rset(struct dialogue *dialogue)
{
        say(dialogue, "RSET\r\n");
        expect(dialogue, DIALOGUE_STEP_RSET);
}

void dialogue_quit(struct dialogue *dialogue)
{
        say(dialogue, "QUIT\r\n");
        if (dialogue->expects < DIALOGUE_EXPECTS_MAX)
                expect(dialogue, DIALOGUE_STEP_QUIT);
        dialogue->state = DIALOGUE_ST_QUIT;
}
