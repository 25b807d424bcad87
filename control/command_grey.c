/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/command.h"
#include "control/state.h"

static const char *verdict_name(enum grey_verdict verdict, const struct grey_facts *facts)
{
        switch (verdict) {
        case GREY_WAIT:
                return "waiting"; /* a retry now is too early */
        case GREY_PASS:
                return "ready"; /* a retry now passes */
        case GREY_KNOWN:
                return "passed";
        case GREY_RESTART:
                return "late"; /* no retry within the window */
        case GREY_NEW:
                break;
        }
        return facts->kind == GREY_KIND_NONE ? "unknown" : "forgotten";
}

void command_grey_facts(struct json *json, const struct control *control, uint64_t key, uint16_t policy)
{
        struct grey_params params = state_grey_params(control, policy);
        struct grey_query query = { .key = key };
        enum grey_verdict verdict;
        uint32_t wait_sec = 0;
        char text[20];

        grey_table_lookup(&control->grey, &query, 1);
        verdict = grey_judge(&query.facts, &params, control_wall_sec(), &wait_sec);
        snprintf(text, sizeof(text), "%016" PRIx64, key);
        json_put_string(json, "key", text);
        json_put_string(json, "state", verdict_name(verdict, &query.facts));
        if (verdict == GREY_WAIT)
                json_put_uint(json, "wait_sec", wait_sec);
        if (query.facts.kind == GREY_KIND_NONE)
                return;
        json_put_time_sec(json, "first", query.facts.first_sec);
        if (query.facts.last_pass_sec != 0)
                json_put_time_sec(json, "last_pass", query.facts.last_pass_sec);
        json_put_uint(json, "passes", query.facts.passes);
}

/* ---- which entry ------------------------------------------------------------------------------------ */

struct triplet {
        uint64_t key;
        uint16_t policy;
        bool has_network;
        struct addr network; /* of the client, by the policy's prefixes */
};

static uint16_t policy_of(const struct control *control, const char *recipient)
{
        const char *at = strrchr(recipient, '@');
        uint16_t policy = 0, pool;

        if (at)
                (void)image_lookup_domain(control->image, at + 1, strlen(at + 1), &policy, &pool);
        return policy;
}

static int parse_key(const char *text, uint64_t *ret)
{
        char *end;

        if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16)
                return -EINVAL;
        *ret = strtoull(text, &end, 16);
        return 0;
}

/* From --key, or from --client, --sender and --recipient. Says what is missing. */
static int parse_triplet(const struct control *control, struct admin_request *request, struct triplet *ret)
{
        const char *key = admin_string(request, "key", NULL);
        const char *client = admin_string(request, "client", NULL);
        const char *sender = admin_string(request, "sender", NULL);
        const char *recipient = admin_string(request, "recipient", NULL);
        const struct image_greylist *greylist;
        struct addr addr;

        memset(ret, 0, sizeof(*ret));
        ret->policy = recipient ? policy_of(control, recipient) : 0;
        if (key) {
                if (parse_key(key, &ret->key) == 0 && ret->key != 0)
                        return 0;
                admin_fail(request, "a key is 16 hexadecimal digits, as grey list shows it");
                return -EINVAL;
        }
        if (client == NULL || sender == NULL || recipient == NULL) {
                admin_fail(request, "name the triplet by --client, --sender and --recipient, or by --key");
                return -EINVAL;
        }
        if (addr_parse(client, &addr) < 0) {
                admin_fail(request, "--client %.60s is no IPv4 or IPv6 address", client);
                return -EINVAL;
        }
        if (strcmp(sender, "<>") == 0)
                sender = "";
        greylist = &image_policy(control->image, ret->policy)->greylist;
        ret->network = addr_network(&addr, greylist->v4_prefix, greylist->v6_prefix);
        ret->has_network = true;
        ret->key = grey_key_network(&control->grey.key, &ret->network, sender, strlen(sender), recipient,
                                    strlen(recipient));
        return 0;
}

static void answer(struct control *control, struct admin_request *request, const struct triplet *triplet)
{
        struct json *json = admin_result(request);

        json_object_open(json, "result");
        command_grey_facts(json, control, triplet->key, triplet->policy);
        json_put_string(json, "policy",
                        image_string(control->image, image_policy(control->image, triplet->policy)->name));
        if (triplet->has_network) {
                const struct image_greylist *greylist =
                    &image_policy(control->image, triplet->policy)->greylist;
                struct grey_params params = state_grey_params(control, triplet->policy);
                struct grey_query exempt = { .key = grey_key_exempt(&control->grey.key, &triplet->network) };
                char addr[ADDR_TEXT_MAX];

                grey_table_lookup(&control->grey, &exempt, 1);
                json_put_string(json, "network", addr_text(&triplet->network, addr));
                json_put_bool(
                    json, "network_exempt",
                    grey_is_exempt(&exempt.facts, &params, greylist->exempt_after, control_wall_sec()));
        }
        json_object_close(json);
        admin_done(request);
}

void command_grey_show(struct control *control, struct admin_request *request)
{
        struct triplet triplet;

        if (parse_triplet(control, request, &triplet) == 0)
                answer(control, request, &triplet);
}

static void change(struct control *control, struct admin_request *request, enum grey_event event)
{
        struct grey_params params;
        struct triplet triplet;

        if (parse_triplet(control, request, &triplet) < 0)
                return;
        params = state_grey_params(control, triplet.policy);
        if (grey_table_record(&control->grey, triplet.key, GREY_KIND_NETWORK, event, &params,
                              control_wall_sec()) == GREY_RECORD_FULL)
                admin_fail(request,
                           "there is no room for this entry: both its buckets hold passed ones only");
        else
                answer(control, request, &triplet);
}

void command_grey_pass(struct control *control, struct admin_request *request)
{
        change(control, request, GREY_EVENT_FORCE_PASS);
}

void command_grey_remove(struct control *control, struct admin_request *request)
{
        change(control, request, GREY_EVENT_REMOVE);
}

/* ---- list ------------------------------------------------------------------------------------------- */

struct list {
        struct control *control;
        struct admin_request *request;
};

static void put_row(struct json *json, const struct control *control, const struct journal_row *row)
{
        char addr[ADDR_TEXT_MAX];

        json_object_open(json, NULL);
        json_put_string(json, "client", addr_text(&row->client, addr));
        json_put_string(json, "sender", row->sender);
        json_put_string(json, "recipient", row->recipient);
        command_grey_facts(json, control, row->key, policy_of(control, row->recipient));
        json_object_close(json);
}

static void list_done(void *arg, const struct journal_row *rows, uint32_t rows_used, const char *error)
{
        struct list *list = arg;
        struct json *json = admin_result(list->request);

        if (error) {
                admin_fail(list->request, "the journal cannot be read: %s", error);
                free(list);
                return;
        }
        json_array_open(json, "result");
        for (uint32_t i = 0; i < rows_used; i++)
                put_row(json, list->control, &rows[i]);
        json_array_close(json);
        admin_done(list->request);
        free(list);
}

static int parse_filter(struct admin_request *request, struct journal_filter *ret)
{
        const char *domain = admin_string(request, "domain", "");
        const char *sender = admin_string(request, "sender", "");
        const char *recipient = admin_string(request, "recipient", "");
        const char *client = admin_string(request, "client", NULL);
        int64_t limit = admin_int(request, "limit", 100);

        memset(ret, 0, sizeof(*ret));
        if (limit < 1 || limit > (int64_t)JOURNAL_ROWS_MAX) {
                admin_fail(request, "--limit is a number from 1 to %u", JOURNAL_ROWS_MAX);
                return -EINVAL;
        }
        ret->limit = (uint32_t)limit;
        if (strlen(domain) >= sizeof(ret->domain) || strlen(sender) >= sizeof(ret->sender) ||
            strlen(recipient) >= sizeof(ret->recipient)) {
                admin_fail(request, "a domain or an address is too long");
                return -EINVAL;
        }
        strcpy(ret->domain, domain);
        strcpy(ret->sender, sender);
        strcpy(ret->recipient, recipient);
        ret->has_client = client != NULL;
        if (client && addr_parse_prefix(client, &ret->client, &ret->client_prefix_len) < 0) {
                admin_fail(request, "--client %.60s is no address or network (192.0.2.0/24, 2001:db8::/64)",
                           client);
                return -EINVAL;
        }
        return 0;
}

void command_grey_list(struct control *control, struct admin_request *request)
{
        struct journal_filter filter;
        struct list *list;
        int r;

        if (control->journal == NULL) {
                admin_fail(request,
                           "there is no journal (log.privacy: hashed, or store.journal.entries: 0), and "
                           "the greylist itself holds only hashes: use grey show with a whole triplet");
                return;
        }
        if (parse_filter(request, &filter) < 0)
                return;
        list = calloc(1, sizeof(*list));
        if (list == NULL) {
                admin_fail(request, "out of memory");
                return;
        }
        list->control = control;
        list->request = request;
        r = journal_query(control->journal, &filter, list_done, list);
        if (r < 0) {
                admin_fail(request, "too many questions are under way: try again");
                free(list);
        }
}
