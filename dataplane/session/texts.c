/* SPDX-License-Identifier: Apache-2.0 */
/* What a session keeps of its client's words between commands: the greeting's name and the sender. */
#include "dataplane/session/internal.h"

#include <string.h>

static_assert(sizeof(struct texts) + SMTP_DOMAIN_MAX + 1 + SMTP_PATH_MAX + 4 <= SLAB_MAX, "the longest texts fit");
static_assert(SMTP_DOMAIN_MAX <= UINT8_MAX, "texts.helo_len");

/* Exchange what is kept for texts with these two; only the fields that concern them are set. */
static bool keep(struct sessions *ss, struct session *s, const struct texts *fields, const char *helo,
                 const char *sender)
{
        uint32_t block = slab_take(ss->kept, sizeof(*fields) + fields->helo_len + 1u + fields->sender_len + 1u);
        struct texts *texts;

        if (block == SLAB_NONE) {
                count(ss, COUNTER_texts_refused);
                return false;
        }
        texts = slab_at(ss->kept, block);
        *texts = *fields;
        memcpy(texts->text, helo, fields->helo_len);
        texts->text[fields->helo_len] = '\0';
        memcpy(texts->text + fields->helo_len + 1, sender, fields->sender_len);
        texts->text[fields->helo_len + 1 + fields->sender_len] = '\0';
        texts_forget(ss, s);
        s->texts = block;
        return true;
}

bool texts_keep_hello(struct sessions *ss, struct session *s, const struct smtp_action *action)
{
        struct texts fields = { .helo_len = (uint8_t)action->name_len, .is_ehlo = action->is_ehlo };

        return keep(ss, s, &fields, action->name, "");
}

bool texts_keep_mail(struct sessions *ss, struct session *s, const struct smtp_action *action)
{
        struct texts *kept = texts_of(ss, s);
        struct texts fields = {
                .size = action->size,
                .sender_len = action->path.len,
                .sender_local_len = action->path.local_len,
                .sender_flags = action->path.flags,
                .helo_len = kept->helo_len,
                .is_ehlo = kept->is_ehlo,
                .has_size = action->has_size,
                .has_body = action->has_body,
                .is_8bit = action->is_8bit,
        };

        return keep(ss, s, &fields, texts_helo(kept), action->path.text);
}

void texts_forget(struct sessions *ss, struct session *s)
{
        if (s->texts != NONE)
                slab_give(ss->kept, s->texts);
        s->texts = NONE;
}

void texts_sender_path(const struct texts *texts, struct smtp_path *ret)
{
        *ret = (struct smtp_path){
                .len = texts->sender_len,
                .local_len = texts->sender_local_len,
                .flags = texts->sender_flags,
        };
        if (ret->len > ret->local_len)
                ret->domain_len = (uint16_t)(ret->len - ret->local_len - 1);
        memcpy(ret->text, texts_sender(texts), texts->sender_len + 1u);
}
