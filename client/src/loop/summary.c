/*
 * summary.c
 *	  The outcome of a sync as JSON.
 */
#include <string.h>

#include "loop/summary.h"
#include "wire/json.h"

static const char *
result_word(int code)
{
	switch (code)
	{
		case TIDE_OK:
			return "done";
		case TIDE_SOME_FAILED:
			return "some_failed";
		case TIDE_USAGE:
			return "usage";
		case TIDE_OFFLINE:
			return "offline";
		case TIDE_SIGNED_OUT:
			return "signed_out";
		case TIDE_REFUSED:
			return "refused";
		default:
			return "local";
	}
}

void
summary_append_json(Buffer *out, int code, const tide_summary *summary,
					const Failure *failure)
{
	buffer_format(out, "{\"result\":\"%s\",\"pulled\":%lld,\"pushed\":%lld,\"failed\":%lld,"
				  "\"lost\":%lld,\"parked\":%lld,\"pending\":%lld,\"phase\":\"%s\",\"error\":",
				  result_word(code), (long long) summary->pulled, (long long) summary->pushed,
				  (long long) summary->failed, (long long) summary->lost,
				  (long long) summary->parked, (long long) summary->pending,
				  summary->phase ? summary->phase : "idle");
	if (code == TIDE_OK || code == TIDE_SOME_FAILED)
	{
		buffer_text(out, "null}");
		return;
	}
	buffer_text(out, "{\"code\":");
	json_string(out, failure->code, strlen(failure->code));
	buffer_text(out, ",\"message\":");
	json_string(out, failure->message, strlen(failure->message));
	buffer_text(out, ",\"hint\":");
	if (failure->hint[0])
		json_string(out, failure->hint, strlen(failure->hint));
	else
		buffer_text(out, "null");
	buffer_text(out, "}}");
}
