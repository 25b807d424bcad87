/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/policy/grey.h"

enum { QUERY_NETWORK, QUERY_POOL, QUERY_EXEMPT, QUERIES };

static struct grey_params params_of(const struct image_greylist *greylist)
{
        return (struct grey_params){
                .block_sec = greylist->block_sec,
                .window_sec = greylist->window_sec,
                .life_sec = greylist->life_sec,
        };
}

void grey_ask_build(struct grey_ask *ask, const struct grey_table *table, const struct image *image,
                    uint16_t policy, const struct addr *client, uint64_t pool, bool may_exempt,
                    const char *sender, size_t sender_len, const char *recipient, size_t recipient_len)
{
        const struct image_greylist *greylist = &image_policy(image, policy)->greylist;
        struct addr network = addr_network(client, greylist->v4_prefix, greylist->v6_prefix);

        ask->policy = policy;
        ask->may_exempt = may_exempt;
        ask->network_key =
            grey_key_network(&table->key, &network, sender, sender_len, recipient, recipient_len);
        ask->pool_key = pool == 0 ? 0
                                  : grey_key_pool(&table->key, pool, sender, sender_len, recipient,
                                                  recipient_len);
        ask->exempt_key = grey_key_exempt(&table->key, &network);
        /* Judged when the turn has collected all of its recipients: until then the buckets are here. */
        grey_table_prefetch(table, ask->network_key);
        grey_table_prefetch(table, ask->exempt_key);
        if (ask->pool_key != 0)
                grey_table_prefetch(table, ask->pool_key);
}

static bool is_pass(enum grey_verdict verdict)
{
        return verdict == GREY_PASS || verdict == GREY_KNOWN;
}

/* Write the start of a wait, or of a new wait, under every key that is to have one. */
static void record_wait(const struct grey_ask *ask, struct grey_table *table, const struct grey_params *params,
                        enum grey_event event, uint32_t now_sec, struct grey_answer *answer)
{
        enum grey_record record =
            grey_table_record(table, ask->network_key, GREY_KIND_NETWORK, event, params, now_sec);

        if (record != GREY_RECORD_FULL && ask->pool_key != 0) {
                enum grey_record pool =
                    grey_table_record(table, ask->pool_key, GREY_KIND_POOL, event, params, now_sec);

                answer->evicted = pool == GREY_RECORD_EVICTED;
        }
        answer->evicted |= record == GREY_RECORD_EVICTED;
        if (record == GREY_RECORD_FULL) {
                /* Only live passed entries in both buckets: never make mail wait that we cannot remember. */
                answer->pass = true;
                answer->state = MSG_GREY_FULL;
        }
}

struct grey_answer grey_ask_judge(const struct grey_ask *ask, struct grey_table *table,
                                  struct grey_tokens *tokens, const struct image *image, uint32_t now_sec)
{
        const struct image_greylist *greylist = &image_policy(image, ask->policy)->greylist;
        struct grey_params params = params_of(greylist);
        struct grey_query queries[QUERIES] = {
                [QUERY_NETWORK] = { .key = ask->network_key },
                [QUERY_POOL] = { .key = ask->pool_key },
                [QUERY_EXEMPT] = { .key = ask->exempt_key },
        };
        struct grey_answer answer = { 0 };
        enum grey_verdict network, pool;
        uint32_t network_wait = 0, pool_wait = 0;

        grey_table_lookup(table, queries, QUERIES);
        if (ask->may_exempt &&
            grey_is_exempt(&queries[QUERY_EXEMPT].facts, &params, greylist->exempt_after, now_sec)) {
                answer.pass = answer.by_exemption = true;
                answer.state = MSG_GREY_EXEMPT;
                return answer;
        }
        network = grey_judge(&queries[QUERY_NETWORK].facts, &params, now_sec, &network_wait);
        pool = ask->pool_key == 0 ? GREY_NEW
                                  : grey_judge(&queries[QUERY_POOL].facts, &params, now_sec, &pool_wait);
        if (is_pass(network) || is_pass(pool)) {
                answer.pass = true;
                answer.state =
                    network == GREY_KNOWN || pool == GREY_KNOWN ? MSG_GREY_KNOWN : MSG_GREY_PASS;
                return answer;
        }
        answer.wait_sec = network_wait;
        if (network == GREY_WAIT || pool == GREY_WAIT) {
                /* Whichever wait ends first is the one that lets the retry pass. */
                if (network != GREY_WAIT || (pool == GREY_WAIT && pool_wait < network_wait))
                        answer.wait_sec = pool_wait;
                answer.state = MSG_GREY_WAIT;
                /* The pool was proven only now: its wait begins too, on the token of the network's. */
                if (ask->pool_key != 0 && pool == GREY_NEW)
                        answer.evicted = grey_table_record(table, ask->pool_key, GREY_KIND_POOL, GREY_EVENT_FIRST,
                                                           &params, now_sec) == GREY_RECORD_EVICTED;
                return answer;
        }
        if (network == GREY_RESTART || pool == GREY_RESTART) {
                answer.state = MSG_GREY_RESTART;
                record_wait(ask, table, &params, GREY_EVENT_RESTART, now_sec, &answer);
                return answer;
        }
        if (!grey_tokens_take(tokens, ask->exempt_key,
                              queries[QUERY_EXEMPT].facts.kind != GREY_KIND_NONE, now_sec)) {
                answer.state = MSG_GREY_NO_TOKEN;
                return answer;
        }
        answer.state = MSG_GREY_NEW;
        record_wait(ask, table, &params, GREY_EVENT_FIRST, now_sec, &answer);
        return answer;
}

void grey_due_record(const struct grey_due *due, struct grey_table *table, const struct image *image,
                     uint32_t now_sec)
{
        /* Another image since: then its default will do, the facts are the same. */
        uint16_t policy = due->policy < image->policies.count ? due->policy : 0;
        struct grey_params params = params_of(&image_policy(image, policy)->greylist);

        grey_table_record(table, due->network_key, GREY_KIND_NETWORK, GREY_EVENT_PASS, &params, now_sec);
        if (due->pool_key != 0)
                grey_table_record(table, due->pool_key, GREY_KIND_POOL, GREY_EVENT_PASS, &params, now_sec);
        if (due->exempt_key != 0)
                grey_table_record(table, due->exempt_key, GREY_KIND_EXEMPT, GREY_EVENT_PASS, &params,
                                  now_sec);
}
