#include "proto/codec/moment.h"

#include "proto/base/errcode.h"

#define DAY_S 86400
#define FRACTION_MAX 9u /* digits */
#define SPAN_DIGITS 15u /* more than any span in range needs */

/* Days since 1970-01-01 of a date of the Gregorian calendar. This and its inverse: Howard
 * Hinnant, "chrono-Compatible Low-Level Date Algorithms". Years run from March, so that
 * the leap day is the last of its year. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	unsigned of_era = (unsigned)(year - era * 400);
	unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	unsigned day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
	return era * 146097 + (int64_t)day_of_era - 719468;
}

static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	unsigned of_era = (unsigned)(days - era * 146097);
	unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) /
			 365;
	unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
	unsigned shifted = (5 * of_year + 2) / 153;
	*day = of_year - (153 * shifted + 2) / 5 + 1;
	*month = shifted < 10 ? shifted + 3 : shifted - 9;
	*year = (int64_t)years + era * 400 + (*month <= 2);
}

static void put_fraction(struct rmd_text *text, int32_t nanos)
{
	int digits = (int)FRACTION_MAX;
	if (nanos == 0)
		return;
	for (; nanos % 10 == 0; nanos /= 10)
		digits--;
	rmd_text_printf(text, ".%0*d", digits, nanos);
}

void rmd_moment_put(struct rmd_text *text, int64_t seconds, int32_t nanos)
{
	int64_t days = seconds / DAY_S, year;
	int of_day = (int)(seconds % DAY_S);
	unsigned month, day;
	if (of_day < 0) {
		of_day += DAY_S;
		days--;
	}
	date_of(days, &year, &month, &day);
	rmd_text_printf(text, "%04d-%02u-%02uT%02d:%02d:%02d", (int)year, month, day,
			of_day / 3600, of_day / 60 % 60, of_day % 60);
	put_fraction(text, nanos);
	rmd_text_put_char(text, 'Z');
}

void rmd_moment_put_span(struct rmd_text *text, int64_t seconds, int32_t nanos)
{
	if (seconds < 0 || nanos < 0)
		rmd_text_put_char(text, '-');
	rmd_text_printf(text, "%lld", (long long)(seconds < 0 ? -seconds : seconds));
	put_fraction(text, nanos < 0 ? -nanos : nanos);
	rmd_text_put_char(text, 's');
}

/* What is left to read; `bad` is sticky. */
struct scan {
	const uint8_t *at, *end;
	bool bad;
};

static bool next_is(struct scan *scan, char c)
{
	return scan->at != scan->end && *scan->at == (uint8_t)c;
}

static bool skip(struct scan *scan, char c)
{
	bool found = next_is(scan, c);
	scan->at += found;
	return found;
}

static void expect(struct scan *scan, char c)
{
	scan->bad |= !skip(scan, c);
}

/* A number of `least` to `most` digits; `*ret_digits` (may be NULL) says how many. */
static int64_t digits(struct scan *scan, unsigned least, unsigned most,
		      unsigned *ret_digits)
{
	int64_t number = 0;
	unsigned count = 0;
	while (count < most && scan->at != scan->end && *scan->at >= '0' &&
	       *scan->at <= '9') {
		number = number * 10 + (*scan->at++ - '0');
		count++;
	}
	scan->bad |= count < least;
	if (ret_digits != NULL)
		*ret_digits = count;
	return number;
}

static int64_t bounded(struct scan *scan, unsigned width, int64_t least, int64_t most)
{
	int64_t number = digits(scan, width, width, NULL);
	scan->bad |= number < least || number > most;
	return number;
}

static int32_t fraction(struct scan *scan)
{
	if (!skip(scan, '.'))
		return 0;
	unsigned count;
	int64_t nanos = digits(scan, 1, FRACTION_MAX, &count);
	for (; count < FRACTION_MAX; count++)
		nanos *= 10;
	return (int32_t)nanos;
}

static unsigned days_in(int64_t year, unsigned month)
{
	static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return lengths[month - 1] + (unsigned)(month == 2 && leap);
}

/* Seconds by which the written time is ahead of UTC. */
static int64_t offset(struct scan *scan)
{
	if (skip(scan, 'Z'))
		return 0;
	int64_t sign = next_is(scan, '-') ? -1 : 1;
	if (!skip(scan, '-'))
		expect(scan, '+');
	int64_t hours = bounded(scan, 2, 0, 23);
	expect(scan, ':');
	return sign * (hours * 3600 + bounded(scan, 2, 0, 59) * 60);
}

int rmd_moment_get(struct rmd_slice text, int64_t *ret_seconds, int32_t *ret_nanos)
{
	if (text.len == 0)
		return RMD_EINVAL;
	struct scan scan = {text.data, text.data + text.len, false};
	int64_t year = bounded(&scan, 4, 0, 9999);
	expect(&scan, '-');
	int64_t month = bounded(&scan, 2, 1, 12);
	expect(&scan, '-');
	int64_t day = bounded(&scan, 2, 1, 31);
	if (scan.bad || day > days_in(year, (unsigned)month))
		return RMD_EINVAL;
	int64_t seconds = days_of(year, (unsigned)month, (unsigned)day) * DAY_S;
	expect(&scan, 'T');
	seconds += bounded(&scan, 2, 0, 23) * 3600;
	expect(&scan, ':');
	seconds += bounded(&scan, 2, 0, 59) * 60;
	expect(&scan, ':');
	seconds += bounded(&scan, 2, 0, 59);
	int32_t nanos = fraction(&scan);
	seconds -= offset(&scan);
	if (scan.bad || scan.at != scan.end)
		return RMD_EINVAL;
	if (seconds < days_of(1, 1, 1) * DAY_S || seconds >= days_of(10000, 1, 1) * DAY_S)
		return RMD_ERANGE;
	*ret_seconds = seconds;
	*ret_nanos = nanos;
	return 0;
}

int rmd_moment_get_span(struct rmd_slice text, int64_t *ret_seconds, int32_t *ret_nanos)
{
	if (text.len == 0)
		return RMD_EINVAL;
	struct scan scan = {text.data, text.data + text.len, false};
	int sign = skip(&scan, '-') ? -1 : 1;
	int64_t seconds = digits(&scan, 1, SPAN_DIGITS, NULL);
	int32_t nanos = fraction(&scan);
	expect(&scan, 's');
	if (scan.bad || scan.at != scan.end)
		return RMD_EINVAL;
	*ret_seconds = sign * seconds;
	*ret_nanos = sign * nanos;
	return 0;
}
