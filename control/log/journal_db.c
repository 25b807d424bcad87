/* SPDX-License-Identifier: Apache-2.0 */
#include "control/log/journal_db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct journal_db {
        sqlite3 *sqlite;
        sqlite3_stmt *write;
        uint64_t entries_max;
        uint64_t rows;
};

static const char schema[] =
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=NORMAL;"
    "CREATE TABLE IF NOT EXISTS triplet ("
    "  key INTEGER PRIMARY KEY, client BLOB NOT NULL, sender TEXT NOT NULL COLLATE NOCASE,"
    "  recipient TEXT NOT NULL COLLATE NOCASE, sender_domain TEXT NOT NULL COLLATE NOCASE,"
    "  recipient_domain TEXT NOT NULL COLLATE NOCASE, first_sec INTEGER NOT NULL,"
    "  passed_sec INTEGER NOT NULL, seen_sec INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS triplet_seen ON triplet (seen_sec);"
    "CREATE INDEX IF NOT EXISTS triplet_client ON triplet (client);"
    "CREATE INDEX IF NOT EXISTS triplet_sender ON triplet (sender);"
    "CREATE INDEX IF NOT EXISTS triplet_recipient ON triplet (recipient);"
    "CREATE INDEX IF NOT EXISTS triplet_sender_domain ON triplet (sender_domain);"
    "CREATE INDEX IF NOT EXISTS triplet_recipient_domain ON triplet (recipient_domain);";

static const char write_sql[] =
    "INSERT INTO triplet VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, max(?7, ?8)) "
    "ON CONFLICT (key) DO UPDATE SET first_sec = max(first_sec, excluded.first_sec),"
    " passed_sec = max(passed_sec, excluded.passed_sec), seen_sec = max(seen_sec, excluded.seen_sec)";

static int count_rows(struct journal_db *db)
{
        sqlite3_stmt *stmt;
        int r = -EIO;

        if (sqlite3_prepare_v2(db->sqlite, "SELECT count(*) FROM triplet", -1, &stmt, NULL) != SQLITE_OK)
                return -EIO;
        if (sqlite3_step(stmt) == SQLITE_ROW) {
                db->rows = (uint64_t)sqlite3_column_int64(stmt, 0);
                r = 0;
        }
        sqlite3_finalize(stmt);
        return r;
}

static int open_once(struct journal_db *db, const char *path)
{
        if (sqlite3_open_v2(path, &db->sqlite,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK)
                return -EIO;
        sqlite3_busy_timeout(db->sqlite, 1000);
        sqlite3_limit(db->sqlite, SQLITE_LIMIT_LENGTH, 1 << 20);
        if (sqlite3_exec(db->sqlite, schema, NULL, NULL, NULL) != SQLITE_OK)
                return -EIO;
        if (sqlite3_prepare_v2(db->sqlite, write_sql, -1, &db->write, NULL) != SQLITE_OK)
                return -EIO;
        return count_rows(db);
}

static void close_once(struct journal_db *db)
{
        sqlite3_finalize(db->write);
        sqlite3_close(db->sqlite);
        db->write = NULL;
        db->sqlite = NULL;
}

static void move_aside(const char *path)
{
        static const char *const suffixes[] = { "", "-wal", "-shm" };
        char from[600], to[600];

        for (unsigned i = 0; i < ARRAY_LEN(suffixes); i++) {
                snprintf(from, sizeof(from), "%s%s", path, suffixes[i]);
                snprintf(to, sizeof(to), "%s.broken%s", path, suffixes[i]);
                (void)rename(from, to);
        }
}

int journal_db_open(struct journal_db **ret, const char *path, uint64_t entries_max, char *text,
                    size_t text_size)
{
        struct journal_db *db = calloc(1, sizeof(*db));
        int r;

        if (db == NULL) {
                snprintf(text, text_size, "no memory");
                return -ENOMEM;
        }
        db->entries_max = entries_max;
        r = open_once(db, path);
        if (r < 0 &&
            (sqlite3_errcode(db->sqlite) == SQLITE_NOTADB || sqlite3_errcode(db->sqlite) == SQLITE_CORRUPT)) {
                close_once(db);
                move_aside(path);
                r = open_once(db, path);
        }
        if (r < 0) {
                snprintf(text, text_size, "%s: %s", path, sqlite3_errmsg(db->sqlite));
                journal_db_close(db);
                return r;
        }
        *ret = db;
        return 0;
}

void journal_db_close(struct journal_db *db)
{
        if (db == NULL)
                return;
        close_once(db);
        free(db);
}

static const char *domain_of(const char *path)
{
        const char *at = strrchr(path, '@');

        return at ? at + 1 : "";
}

static int write_row(struct journal_db *db, const struct journal_row *row)
{
        sqlite3_stmt *stmt = db->write;
        int r;

        sqlite3_set_last_insert_rowid(db->sqlite, 0); /* stays 0 when the row was there already */
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64)row->key);
        sqlite3_bind_blob(stmt, 2, row->client.bytes, sizeof(row->client.bytes), SQLITE_STATIC);
        sqlite3_bind_text(stmt, 3, row->sender, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 4, row->recipient, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 5, domain_of(row->sender), -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 6, domain_of(row->recipient), -1, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 7, row->first_sec);
        sqlite3_bind_int64(stmt, 8, row->passed_sec);
        r = sqlite3_step(stmt) == SQLITE_DONE ? 0 : -EIO;
        sqlite3_reset(stmt);
        if (r == 0 && sqlite3_last_insert_rowid(db->sqlite) != 0)
                db->rows++;
        return r;
}

/* Delete somewhat more than needed, so that not every batch has to. */
static int prune(struct journal_db *db)
{
        char sql[160];

        if (count_rows(db) < 0)
                return -EIO;
        if (db->rows <= db->entries_max)
                return 0;
        snprintf(sql, sizeof(sql),
                 "DELETE FROM triplet WHERE key IN (SELECT key FROM triplet ORDER BY seen_sec LIMIT %llu)",
                 (unsigned long long)(db->rows - db->entries_max + db->entries_max / 16));
        if (sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) != SQLITE_OK)
                return -EIO;
        return count_rows(db);
}

int journal_db_write(struct journal_db *db, const struct journal_row *rows, uint32_t rows_used)
{
        uint64_t rows_before = db->rows;
        int r = 0;

        if (sqlite3_exec(db->sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
                return -EIO;
        for (uint32_t i = 0; r == 0 && i < rows_used; i++)
                r = write_row(db, &rows[i]);
        if (r == 0 && db->rows > db->entries_max)
                r = prune(db);
        if (r == 0 && sqlite3_exec(db->sqlite, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
                return 0;
        (void)sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
        db->rows = rows_before;
        return -EIO;
}

static const char query_sql[] =
    "SELECT key, client, sender, recipient, first_sec, passed_sec FROM triplet WHERE "
    "(?1 = '' OR sender_domain = ?1 COLLATE NOCASE OR recipient_domain = ?1 COLLATE NOCASE) AND "
    "(?2 = '' OR sender = ?2 COLLATE NOCASE) AND (?3 = '' OR recipient = ?3 COLLATE NOCASE) AND "
    "(?4 IS NULL OR client BETWEEN ?4 AND ?5) AND (?6 IS NULL OR key = ?6) "
    "ORDER BY seen_sec DESC LIMIT ?7";

static void copy_text(char ret[JOURNAL_PATH_MAX], sqlite3_stmt *stmt, int column)
{
        const unsigned char *text = sqlite3_column_text(stmt, column);

        snprintf(ret, JOURNAL_PATH_MAX, "%s", text ? (const char *)text : "");
}

static void bind_client(sqlite3_stmt *stmt, const struct journal_filter *filter)
{
        struct addr from, to;

        if (!filter->has_client)
                return;
        from = addr_mask(&filter->client, filter->client_prefix_len);
        to = from;
        for (unsigned bit = filter->client_prefix_len; bit < 128; bit++)
                to.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        sqlite3_bind_blob(stmt, 4, from.bytes, sizeof(from.bytes), SQLITE_TRANSIENT);
        sqlite3_bind_blob(stmt, 5, to.bytes, sizeof(to.bytes), SQLITE_TRANSIENT);
}

static int read_rows(sqlite3_stmt *stmt, uint32_t limit, struct journal_row *ret_rows)
{
        uint32_t n = 0;
        int r;

        while ((r = sqlite3_step(stmt)) == SQLITE_ROW && n < limit) {
                struct journal_row *row = &ret_rows[n];

                memset(row, 0, sizeof(*row));
                if (sqlite3_column_bytes(stmt, 1) != sizeof(row->client.bytes))
                        continue; /* not written by us */
                row->key = (uint64_t)sqlite3_column_int64(stmt, 0);
                memcpy(row->client.bytes, sqlite3_column_blob(stmt, 1), sizeof(row->client.bytes));
                copy_text(row->sender, stmt, 2);
                copy_text(row->recipient, stmt, 3);
                row->first_sec = (uint32_t)sqlite3_column_int64(stmt, 4);
                row->passed_sec = (uint32_t)sqlite3_column_int64(stmt, 5);
                n++;
        }
        return r == SQLITE_ROW || r == SQLITE_DONE ? (int)n : -EIO;
}

int journal_db_query(struct journal_db *db, const struct journal_filter *filter, struct journal_row *ret_rows)
{
        sqlite3_stmt *stmt;
        int r;

        if (sqlite3_prepare_v2(db->sqlite, query_sql, -1, &stmt, NULL) != SQLITE_OK)
                return -EIO;
        sqlite3_bind_text(stmt, 1, filter->domain, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 2, filter->sender, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 3, filter->recipient, -1, SQLITE_STATIC);
        bind_client(stmt, filter);
        if (filter->has_key)
                sqlite3_bind_int64(stmt, 6, (sqlite3_int64)filter->key);
        sqlite3_bind_int64(stmt, 7, filter->limit);
        r = read_rows(stmt, filter->limit, ret_rows);
        sqlite3_finalize(stmt);
        return r;
}

uint64_t journal_db_rows(const struct journal_db *db)
{
        return db->rows;
}

const char *journal_db_error(struct journal_db *db)
{
        return sqlite3_errmsg(db->sqlite);
}
