#include "proto/base/errcode.h"

const char *rmd_errcode_text(int code)
{
	switch (code) {
	case 0:
		return "success";
#define X(name, value, text)                                                         \
	case value:                                                                  \
		return text;
		RMD_ERRCODES(X)
#undef X
	default:
		return "unknown error";
	}
}

const char *rmd_errcode_name(int code)
{
	switch (code) {
	case 0:
		return "0";
#define X(name, value, text)                                                         \
	case value:                                                                  \
		return #name;
		RMD_ERRCODES(X)
#undef X
	default:
		return "RMD_E?";
	}
}
