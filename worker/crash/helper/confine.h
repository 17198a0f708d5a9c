/* worker/crash/helper/confine.h: takes from the helper all that it does not need, before
 * it looks at anything that user code has made. */
#pragma once

/* Limits memory, time, files and processes; no new privileges; of the capabilities, those
 * to look at processes and files; of the system calls, those to read. What this kernel
 * lacks is left out. RMD_ESYS: a limit could not be set. */
int rmd_confine(void);
