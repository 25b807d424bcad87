/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who goes when sessions run short: clients that hold one without doing anything, so that 5 minutes of silence
 * (RFC 5321 4.5.3.2.7) cannot be had by anybody for the price of a SYN. The table below is the rule.
 */
#include "dataplane/session/internal.h"

#define CROWD_STEP    256u   /* sessions looked at in a millisecond */
#define CROWD_LOOK_US 10000u /* and how soon again */
#define NEVER         UINT32_MAX

enum crowd {
        CROWD_NONE,
        CROWD_SOME, /* above 7/8 of the sessions are in use */
        CROWD_FULL, /* above 31/32 */
        CROWDS,
};

static enum crowd crowd_of(const struct sessions *ss)
{
        uint32_t open = indices_used(&ss->opens), max = ss->opens.max;

        if (open <= max - max / 8)
                return CROWD_NONE;
        return open <= max - max / 32 ? CROWD_SOME : CROWD_FULL;
}

/* Has this session been waiting for its client longer than it may now? */
static bool is_overdue(const struct sessions *ss, const struct session *s, enum crowd crowd)
{
        enum { IDLE, TRANSACTION };
        static const uint32_t patience[CROWDS][2] = {
                [CROWD_NONE] = { NEVER, NEVER },
                [CROWD_SOME] = { [IDLE] = 10000, [TRANSACTION] = 60000 },
                [CROWD_FULL] = { [IDLE] = 2000, [TRANSACTION] = 10000 },
        };
        uint32_t allowed_ms, left_ms, kind = IDLE;

        if (s->class == IMAGE_CLASS_TRUSTED)
                return false;
        switch ((enum session_phase)s->phase) {
        case PHASE_COMMAND:
                allowed_ms = ss->image->limits.command_timeout_ms;
                kind = smtp_state(&s->smtp) == SMTP_ST_MAIL || smtp_state(&s->smtp) == SMTP_ST_RCPT ? TRANSACTION : IDLE;
                break;
        case PHASE_HELD:
                allowed_ms = ss->image->limits.hold_timeout_ms;
                break;
        default:
                return false; /* it waits for us, ends soon by itself, or a message streams: data_timeout counts there */
        }
        left_ms = s->due_ms - (uint32_t)(ss->now_us / 1000);
        return left_ms < allowed_ms && allowed_ms - left_ms >= patience[crowd][kind];
}

static void send_away(struct sessions *ss, struct session *s)
{
        count(ss, COUNTER_sessions_crowded_out);
        say_reply(ss, s, SMTP_REPLY_OVERLOAD, RULE_overload, NULL, NULL);
        session_end(ss, s, RULE_overload, false);
}

void crowd_turn(struct sessions *ss)
{
        uint32_t now_ms = (uint32_t)(ss->now_us / 1000);
        enum crowd crowd = crowd_of(ss);

        if (crowd == CROWD_NONE || ss->crowd_ms == now_ms)
                return;
        ss->crowd_ms = now_ms;
        for (unsigned left = MIN(CROWD_STEP, ss->opens.fresh); left > 0 && crowd != CROWD_NONE; left--) {
                struct session *s;

                if (ss->crowd_hand >= ss->opens.fresh)
                        ss->crowd_hand = 0;
                s = &ss->session[ss->crowd_hand++];
                if (!is_overdue(ss, s, crowd))
                        continue;
                send_away(ss, s);
                crowd = crowd_of(ss);
        }
}

uint64_t crowd_due_us(const struct sessions *ss)
{
        return crowd_of(ss) == CROWD_NONE ? UINT64_MAX : ss->now_us + CROWD_LOOK_US;
}
