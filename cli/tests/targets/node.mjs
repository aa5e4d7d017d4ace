// A target in Node: every tenth first attempt fails, each record that is taken is a line "KEY OFFSET".
import { createServer } from "node:http";

const server = createServer((request, response) => {
  const body = [];
  request.on("data", (piece) => body.push(piece));
  request.on("end", () => {
    const { "x-tidegate-key": key, "x-tidegate-offset": offset } = request.headers;
    const value = Buffer.concat(body).toString();
    if (value !== `value-${offset}`) {
      response.writeHead(422).end();
      return;
    }
    if (offset % 10 === 3 && request.headers["x-tidegate-attempt"] === "1") {
      response.writeHead(500).end("not today");
      return;
    }
    process.stdout.write(`${key} ${offset}\n`);
    response.writeHead(204).end();
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
