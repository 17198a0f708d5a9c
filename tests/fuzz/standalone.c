/* tests/fuzz/standalone.c: runs a fuzz target over files: its corpus as an ordinary
 * test.
 *
 * Arguments are files or folders; each file's bytes go once into
 * LLVMFuzzerTestOneInput. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs;

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
		perror(path);
		return 1;
	}
	long size = ftell(file);
	rewind(file);
	uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
	if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) {
		perror(path);
		return 1;
	}
	fclose(file);
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	inputs++;
	return 0;
}

static int run_path(const char *path)
{
	struct stat info;
	if (stat(path, &info) != 0) {
		perror(path);
		return 1;
	}
	if (!S_ISDIR(info.st_mode))
		return run_file(path);
	DIR *folder = opendir(path);
	int failed = 0;
	for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
		char child[4096];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
		failed |= run_path(child);
	}
	if (folder != NULL)
		closedir(folder);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;
	for (int i = 1; i < argc; i++)
		failed |= run_path(argv[i]);
	printf("%zu inputs\n", inputs);
	return failed != 0 || inputs == 0;
}
