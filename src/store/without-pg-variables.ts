/**
 * Makes something while PGHOST, PGSSL, PGTARGETSESSIONATTRS and their like are not in the environment: the Postgres client
 * takes from there whatever it is not told, and what is there may be meant for another database.
 *
 * @param make looks at the environment before it returns, or not at all
 */
export function withoutPgVariables<T>(make: () => T): T {
  const set = Object.entries(process.env).filter(([name]) => /^PG[A-Z]/i.test(name));
  for (const [name] of set) delete process.env[name];
  try {
    return make();
  } finally {
    for (const [name, value] of set) process.env[name] = value;
  }
}
