/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two scripts that run inside Redis. KEYS: the hash of the entry, the change stream of its slot. ARGV: the
 * entry's key, "first last_pass passes kind", our node, the latest time to be believed, seconds to live.
 */
#ifndef GREYLINE_CONTROL_STORE_REDIS_SCRIPT_H
#define GREYLINE_CONTROL_STORE_REDIS_SCRIPT_H

/*
 * The maximum of each register. What is there and cannot be read, or lies too far ahead, is overwritten: else
 * one node with a wrong clock would win for ever. Announced only when something changed. Gives what holds now.
 */
#define REDIS_SCRIPT_PUT                                                                                     \
        "local form = '^(%d+) (%d+) (%d+) (%d)$'\n"                                                          \
        "local f, l, p, k = string.match(ARGV[2], form)\n"                                                   \
        "f, l, p, k = tonumber(f), tonumber(l), tonumber(p), tonumber(k)\n"                                  \
        "local latest = tonumber(ARGV[4])\n"                                                                 \
        "local old = redis.call('HGET', KEYS[1], ARGV[1])\n"                                                 \
        "if old then\n"                                                                                      \
        "  local of, ol, op, ok = string.match(old, form)\n"                                                 \
        "  of, ol, op, ok = tonumber(of), tonumber(ol), tonumber(op), tonumber(ok)\n"                        \
        "  if of and of <= latest and ol <= latest and op <= 15 and ok >= 1 and ok <= 3 then\n"              \
        "    f, l, p, k = math.max(f, of), math.max(l, ol), math.max(p, op), math.max(k, ok)\n"              \
        "  end\n"                                                                                            \
        "end\n"                                                                                              \
        "local new = string.format('%.0f %.0f %.0f %.0f', f, l, p, k)\n"                                     \
        "if new ~= old then\n"                                                                               \
        "  redis.call('HSET', KEYS[1], ARGV[1], new)\n"                                                      \
        "  redis.call('EXPIRE', KEYS[1], ARGV[5])\n"                                                         \
        "  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 4096, '*', 'n', ARGV[3], 'k', ARGV[1], 'v', new)\n"    \
        "end\n"                                                                                              \
        "return new\n"

/* Delete an entry that nobody changed meanwhile. */
#define REDIS_SCRIPT_DROP                                                                                    \
        "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then\n"                                          \
        "  return redis.call('HDEL', KEYS[1], ARGV[1])\n"                                                    \
        "end\n"                                                                                              \
        "return 0\n"

#endif
