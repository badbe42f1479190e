// Which hosts and origins are ours does not depend on the library in use.
process.env.UWS_USE_FALLBACK = "1";
await import("./hosts.test.ts");
await import("./origins.test.ts");

export {};
