// What is wrong with a request's form costs no more over Node's own server than over the native ones.
process.env.UWS_USE_FALLBACK = "1";
await import("./http-raw.test.ts");

export {};
