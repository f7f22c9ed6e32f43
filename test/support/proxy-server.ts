import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";

/** What the proxy does with every request instead of passing it on. */
export type ProxyFault =
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "cut" } // closes the connection without an answer
  | { readonly kind: "cut-after"; readonly bytes: number } // closes it after so many bytes of an answer, once
  | { readonly kind: "silent" };

/** A loopback proxy: tunnels (CONNECT) and passes requests with a whole address on. */
export class ProxyServer {
  /** "CONNECT host:port" and "GET http://...". */
  readonly log: string[] = [];
  fault: ProxyFault | undefined;
  /** "name:password" that it asks for. */
  login: string | undefined;
  port = 0;
  private readonly sockets = new Set<Duplex>();

  private constructor(private readonly server: Server) {
    server.on("connection", (socket) => this.keep(socket));
    server.on("connect", (request, socket, head) => this.tunnel(request, socket, head));
    server.on("request", (request, response) => this.forward(request, response));
  }

  static async start(): Promise<ProxyServer> {
    const proxy = new ProxyServer(createServer());
    await new Promise<void>((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    proxy.port = (proxy.server.address() as AddressInfo).port;
    return proxy;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private keep(socket: Duplex): void {
    this.sockets.add(socket);
    socket.on("error", () => {}).on("close", () => this.sockets.delete(socket));
  }

  /** The status with which a request is refused. */
  private refusal({ headers }: IncomingMessage): number | undefined {
    const [, sent] = (headers["proxy-authorization"] ?? "").split(" ");
    if (this.login !== undefined && Buffer.from(sent ?? "", "base64").toString() !== this.login) return 407;
    return this.fault?.kind === "status" ? this.fault.status : undefined;
  }

  /** Whether the fault is that no answer comes. */
  private isMute(socket: Duplex): boolean {
    if (this.fault?.kind === "cut") socket.destroy();
    return this.fault?.kind === "cut" || this.fault?.kind === "silent";
  }

  /** Passes bytes on, or as many as the fault lets through. */
  private pipe(from: Duplex | IncomingMessage, to: Duplex | ServerResponse, end: () => void): void {
    let passed = 0;
    from.on("data", (chunk: Buffer) => {
      const most = this.fault?.kind === "cut-after" ? this.fault.bytes : Number.POSITIVE_INFINITY;
      passed += chunk.length;
      if (passed <= most) {
        to.write(chunk);
        return;
      }
      from.removeAllListeners("data");
      this.fault = undefined;
      // Bytes that arrive together with the connection's end are dropped by the client: they go first.
      to.write(chunk.subarray(0, chunk.length - (passed - most)), () => setTimeout(end, 100));
    });
    from.on("end", () => to.end());
  }

  private tunnel(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.keep(socket);
    this.log.push(`CONNECT ${request.url}`);
    if (this.isMute(socket)) return;
    const refusal = this.refusal(request);
    if (refusal) {
      socket.end(`HTTP/1.1 ${refusal} No\r\nContent-Length: 2\r\n\r\nno`);
      return;
    }
    const [host, port] = (request.url ?? "").split(":");
    const target: Socket = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      target.write(head);
      socket.pipe(target);
      this.pipe(target, socket, () => socket.destroy());
    });
    this.keep(target);
    target.on("error", () => socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    socket.on("close", () => target.destroy());
  }

  private forward(asked: IncomingMessage, response: ServerResponse): void {
    this.log.push(`${asked.method} ${asked.url}`);
    if (this.isMute(asked.socket)) return;
    const refusal = this.refusal(asked);
    if (refusal) {
      response.writeHead(refusal, { "content-type": "text/html" });
      response.end("<h1>no</h1>");
      return;
    }
    const { "proxy-authorization": _, ...headers } = asked.headers;
    const passed = request(asked.url ?? "", { method: asked.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      this.pipe(answer, response, () => asked.socket.destroy());
    });
    passed.on("error", () => {
      response.writeHead(502);
      response.end();
    });
    passed.end();
  }
}
