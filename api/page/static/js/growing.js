/** A function that reads what came since it was called before; called while it reads, it looks once more at the end. */
export function growing(readOn) {
  let wanted = false;
  let reading = false;
  return async (signal) => {
    wanted = true;
    if (reading) return;
    reading = true;
    try {
      while (wanted) {
        wanted = false;
        await readOn(signal);
      }
    } finally {
      reading = false;
    }
  };
}
