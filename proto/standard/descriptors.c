/* The descriptors that protoc made at build time (RMD_DESCRIPTORS_FILE), built in. */
#include "proto/standard/reflection.h"

__asm__(".section .rodata\n"
	".global rmd_standard_descriptors_begin\n"
	".global rmd_standard_descriptors_end\n"
	"rmd_standard_descriptors_begin:\n"
	".incbin \"" RMD_DESCRIPTORS_FILE "\"\n"
	"rmd_standard_descriptors_end:\n"
	".text\n");

extern const uint8_t rmd_standard_descriptors_begin[], rmd_standard_descriptors_end[];

struct rmd_slice rmd_standard_descriptors(void)
{
	return rmd_slice_of(
		rmd_standard_descriptors_begin,
		(size_t)(rmd_standard_descriptors_end - rmd_standard_descriptors_begin));
}
