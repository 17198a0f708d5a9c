/* A shared object that is no module. */
int nothing_to_see(void);
int nothing_to_see(void)
{
	return 1;
}
