// What bounds strangers holds over the emulation too. It is chosen when the module is first loaded.
process.env.UWS_USE_FALLBACK = "1";
await import("./strangers-sockets.test.ts");
