// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "arena.h"
#include "log.h"

void log_add(struct log_ring *log, const char *text, uint64_t bytes)
{
	if (bytes > LOG_BYTES) {
		text += bytes - LOG_BYTES;
		bytes = LOG_BYTES;
	}
	while (bytes) {
		uint64_t at = log->written % LOG_BYTES;
		uint64_t piece = LOG_BYTES - at < bytes ? LOG_BYTES - at : bytes;

		memcpy(log->buffer + at, text, piece);
		log->written += piece;
		text += piece;
		bytes -= piece;
	}
}

/* The newest bytes; a first line that has lost its beginning is left out. */
uint64_t log_read(const struct log_ring *log, char *buffer, uint64_t bytes)
{
	uint64_t kept = log->written < LOG_BYTES ? log->written : LOG_BYTES;
	uint64_t from, copied = 0;

	if (bytes > kept)
		bytes = kept;
	from = log->written - bytes;
	/* In a full ring the byte before is gone: its line may have been longer. */
	if (from && (bytes == LOG_BYTES || log->buffer[(from - 1) % LOG_BYTES] != '\n'))
		while (from < log->written && log->buffer[from++ % LOG_BYTES] != '\n')
			;
	while (from < log->written) {
		uint64_t at = from % LOG_BYTES;
		uint64_t piece = LOG_BYTES - at;

		if (piece > log->written - from)
			piece = log->written - from;
		memcpy(buffer + copied, log->buffer + at, piece);
		copied += piece;
		from += piece;
	}
	return copied;
}
