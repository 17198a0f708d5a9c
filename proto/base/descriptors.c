#include "proto/base/descriptors.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "proto/base/errcode.h"

int rmd_descriptors_check(char *ret_why, size_t size)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= RMD_DESCRIPTORS_MIN)
		return 0;
	snprintf(ret_why, size,
		 "the limit of open files is %llu, at least %u are needed (and about five "
		 "for each worker, one for each connection)%s",
		 (unsigned long long)limit.rlim_cur, RMD_DESCRIPTORS_MIN,
		 rmd_descriptors_advice(EMFILE));
	return RMD_ELIMIT;
}

const char *rmd_descriptors_advice(int error_number)
{
	if (error_number == EMFILE)
		return "; raise the limit of open files (ulimit -n, LimitNOFILE= of the unit)";
	if (error_number == ENFILE)
		return "; this machine has no more open files (sysctl fs.file-max)";
	return "";
}
